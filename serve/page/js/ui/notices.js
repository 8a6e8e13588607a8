// Notices over the view: what happened, and what the user can do about it.

const byId = (id) => document.getElementById(id);

const MESSAGES = {
  welcome: [
    "Translate live video",
    "Use the camera, or drop a video or an image here. The server does all the computing and stores nothing.",
  ],
  asking: ["Waiting for the camera", "Your browser asks whether this page may use it."],
  "camera-refused": [
    "Camera access was denied",
    "Allow the camera for this page (camera icon in the address bar, or site settings), then try again.",
  ],
  "camera-missing": ["No camera was found", "Connect a camera and try again, or open a video or an image."],
  "camera-busy": ["The camera cannot be opened", "Another program may be using it. Close that program, then try again."],
  "camera-insecure": [
    "No camera on this page",
    "Browsers allow the camera only on secure pages. Open this server as https:// (cgt serve --cert, --key), " +
      "or on its own machine as http://localhost. Videos and images work on this page, too.",
  ],
  "camera-gone": ["The camera was disconnected", "It was unplugged, or its permission was withdrawn."],
  "file-unreadable": ["This file cannot be opened", "The browser cannot read it as a video or an image."],
  gone: ["The server does not respond", "It was stopped, or the network is down."],
  full: ["All sessions are in use", "This page connects as soon as another client leaves."],
  token: ["This server requires a token", "The server printed the token when it started."],
  refused: ["The server rejected the request", ""],
  trouble: ["Something went wrong", ""],
  silent: ["No frames from the server's source", "The source is lost or slow. The video resumes with its next frame."],
  connecting: ["Connecting", ""],
};

export class Notices {
  constructor() {
    this.name = ""; // the notice shown
    this.box = byId("notice");
    this.countdown = 0;
  }

  /** actions: [[label, function], ...], the primary one first. text: replaces the default text.
   *  until: the time (Date.now) that a countdown runs to. */
  show(name, { actions = [], text = "", until = 0 } = {}) {
    const [title, defaultText] = MESSAGES[name];
    clearInterval(this.countdown);
    this.name = name;
    this.box.hidden = false; // first: screen readers ignore changes while it is hidden
    byId("notice-title").textContent = title;
    byId("notice-text").textContent = text || defaultText;
    const updateCountdown = () => {
      const seconds = Math.max(0, Math.ceil((until - Date.now()) / 1000));
      byId("notice-countdown").textContent = until ? `Trying again in ${seconds} s.` : "";
    };
    updateCountdown();
    if (until) this.countdown = setInterval(updateCountdown, 500);
    byId("token-form").hidden = name !== "token";
    byId("notice-actions").replaceChildren(...actions.map(([label, act], index) => createButton(label, act, index === 0)));
    this.box.dataset.name = name;
    if (name === "token") byId("token").focus();
  }

  hide() {
    clearInterval(this.countdown);
    this.name = "";
    this.box.hidden = true;
  }
}

function createButton(label, onClick, isPrimary) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = label;
  button.className = isPrimary ? "primary" : "";
  button.addEventListener("click", onClick);
  return button;
}
