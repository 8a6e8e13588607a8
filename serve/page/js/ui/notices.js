// What the page says when there is no picture: plainly, and what to do about it.

const byId = (id) => document.getElementById(id);

const MESSAGES = {
  welcome: [
    "See yourself translated",
    "Use the camera, or drop a video or a picture here. This server computes everything and stores nothing.",
  ],
  asking: ["Waiting for the camera", "Your browser asks whether this page may use it."],
  "camera-refused": [
    "The camera was refused",
    "Allow it for this page (the camera symbol in the address bar, or the site settings), then try again.",
  ],
  "camera-missing": ["No camera was found", "Plug one in and try again, or open a video or a picture."],
  "camera-busy": ["The camera cannot be opened", "Another program may be using it. Close that program, then try again."],
  "camera-insecure": [
    "No camera on this page",
    "Browsers give the camera to secure pages only. Open this server as https:// (cgt serve --cert, --key) " +
      "or from its own machine as http://localhost. Videos and pictures work here all the same.",
  ],
  "camera-gone": ["The camera is gone", "It was unplugged, or its permission was taken back."],
  "file-unreadable": ["This file cannot be opened", "The browser knows neither a video nor a picture in it."],
  gone: ["The server does not answer", "It was stopped, or the network is down."],
  full: ["All places are taken", "Yours comes when somebody leaves."],
  token: ["This server wants a token", "It was printed when the server was started."],
  refused: ["The server refused", ""],
  trouble: ["That did not work", ""],
  silent: ["No picture comes from the server's source", "It was lost, or is slow. It goes on here as soon as it does."],
  connecting: ["Connecting", ""],
};

export class Notices {
  constructor() {
    this.name = "";
    this.box = byId("notice");
    this.ticking = 0;
  }

  /** actions: [[label, function], ...], the first is the main one. text: instead of the usual.
   *  until: a time (Date.now) to count down to. */
  show(name, { actions = [], text = "", until = 0 } = {}) {
    const [title, usual] = MESSAGES[name];
    clearInterval(this.ticking);
    this.name = name;
    this.box.hidden = false; // first: what changes while it is hidden is not read out
    byId("notice-title").textContent = title;
    byId("notice-text").textContent = text || usual;
    const count = () => {
      const seconds = Math.max(0, Math.ceil((until - Date.now()) / 1000));
      byId("notice-wait").textContent = until ? `Trying again in ${seconds} s.` : "";
    };
    count();
    if (until) this.ticking = setInterval(count, 500);
    byId("token-form").hidden = name !== "token";
    byId("notice-actions").replaceChildren(...actions.map(([label, act], index) => button(label, act, index === 0)));
    this.box.dataset.name = name;
    if (name === "token") byId("token").focus();
  }

  hide() {
    clearInterval(this.ticking);
    this.name = "";
    this.box.hidden = true;
  }
}

function button(label, act, main) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.className = main ? "primary" : "";
  made.addEventListener("click", act);
  return made;
}
