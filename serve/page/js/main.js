// The page: buttons, keys, words; app.js does the work.

import { fetchModels, submitToken, wasTokenRejected } from "./transport/api.js";
import { App } from "./app.js";
import { Recorder, snapshot } from "./media/capture.js";
import { listen } from "./ui/input.js";
import { Notices } from "./ui/notices.js";
import { Settings } from "./ui/settings.js";
import { Camera, SourceError } from "./media/sources.js";
import { View } from "./ui/view.js";

const byId = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];

const notices = new Notices();
const view = new View(byId("picture"), byId("frame"));
const settings = new Settings(() => attempt(() => app.updateSettings()));
const videos = { camera: byId("camera-video"), answer: byId("answer-video") };
export const app = new App(settings, view, videos, { state: stateChanged, frame: shown });
const recorder = new Recorder(byId("picture"), (recording) => {
  byId("record").textContent = recording ? "Stop" : "Record";
  byId("record").classList.toggle("recording", recording);
});

const STATUS = { connecting: "Connecting", open: "Live", waiting: "Waiting", stopped: "Stopped" };
const SILENCE_TIMEOUT_MS = 5000; // milliseconds without a picture of the server's source
let again = start; // what "Try again" does
let server = null; // what the server said it has

async function start() {
  await attempt(async () => {
    await loadModels();
    if (again !== start) return; // something was opened meanwhile
    if (server.source) await openServer();
    else welcome();
  });
}

/** What the server has. Throws ServerError. */
async function loadModels() {
  server = await fetchModels();
  settings.setModels(server.models);
  document.querySelector("[data-source=server]").hidden = !server.source;
}

function welcome() {
  status("idle", "Ready");
  notices.show("welcome", { actions: [["Use the camera", () => openCamera()], ["Open a file", pickFile]] });
}

/** Runs what may fail, and says so. */
async function attempt(work) {
  try {
    await work();
  } catch (error) {
    if (error.name === "AbortError") return; // something else was opened meanwhile
    if (error instanceof SourceError) return failed(error.kind);
    stateChanged("stopped", { kind: error.kind ?? "trouble", message: error.message });
  }
}

function failed(name) {
  status("stopped", "Stopped");
  pressed("source", "");
  blank(true);
  const file = ["Open a file", pickFile];
  notices.show(name, { actions: name === "camera-insecure" ? [file] : [["Try again", () => again()], file] });
}

/** Opens a source by work(); "Try again" does it again. */
function open(name, work) {
  again = () => open(name, work);
  pressed("source", name);
  if (name !== "camera") byId("camera").hidden = true;
  return attempt(async () => {
    if (!server) await loadModels(); // it may want a token first
    await work();
  });
}

function openCamera(deviceId) {
  return open("camera", async () => {
    notices.show("asking");
    await app.openCamera(deviceId);
    const cameras = await Camera.list();
    byId("camera").replaceChildren(...cameras.map((c, i) => new Option(c.label || `Camera ${i + 1}`, c.deviceId)));
    byId("camera").value = app.source?.deviceId ?? "";
    byId("camera").hidden = cameras.length < 2;
  });
}

function openFile(file) {
  return open("file", async () => {
    await app.openFile(file);
    if (app.kind === "image") status("live", "Translated");
  });
}

function openServer() {
  return open("server", () => app.openServer());
}

function pickFile() {
  byId("file").value = "";
  byId("file").click();
}

function stateChanged(name, { kind, message = "", until } = {}) {
  if (name === "camera-gone") return failed(name);
  if (name === "trouble") return notices.show("trouble", { text: message });
  status({ open: "live", connecting: "connecting" }[name] ?? "stopped", STATUS[name]);
  if (name === "connecting" && !notices.name) return undefined;
  if (name === "connecting" || name === "open") return notices.show("connecting");
  blank(true);
  const now = ["Try now", () => app.connection.retry()];
  if (name === "waiting") return notices.show(kind === "full" ? "full" : "gone", { until, actions: [now] });
  if (kind === "token") return notices.show("token", { text: wasTokenRejected() ? "That token did not fit." : "" });
  const what = ["gone", "trouble"].includes(kind) ? kind : "refused";
  return notices.show(what, { text: message, actions: [["Try again", () => again()]] });
}

function shown() {
  blank(false);
  if (notices.name === "silent") status("live", STATUS.open);
  if (notices.name) notices.hide();
}

function status(state, text) {
  byId("status").dataset.state = state;
  byId("status").textContent = text;
}

/** Without a picture there is nothing to keep. */
function blank(is) {
  if (byId("frame").hidden === is) return;
  byId("frame").hidden = is;
  for (const id of ["snapshot", "record", "fullscreen"]) byId(id).disabled = is;
  byId("record").disabled ||= !Recorder.isSupported;
  if (is) recorder.stop();
}

function pressed(group, name) {
  for (const button of all(`button[data-${group}]`)) button.setAttribute("aria-pressed", button.dataset[group] === name);
}

function chooseView(name) {
  pressed("view", name);
  view.set(name);
}

function moveSplit(percent) {
  byId("split").value = percent;
  view.moveSplit(percent / 100);
}

const record = () => (recorder.recording ? recorder.stop() : recorder.start());
const fullScreen = () =>
  document.fullscreenElement ? document.exitFullscreen() : byId("stage").requestFullscreen?.();
const help = () => byId("help").showModal();
const enabled = (id, act) => () => byId(id).disabled || act();

const sources = { camera: () => openCamera(), file: pickFile, server: openServer };
for (const button of all("[data-source]")) button.addEventListener("click", sources[button.dataset.source]);
for (const button of all("button[data-view]")) button.addEventListener("click", () => chooseView(button.dataset.view));
byId("camera").addEventListener("change", ({ target }) => openCamera(target.value));
byId("file").addEventListener("change", ({ target }) => target.files[0] && openFile(target.files[0]));
byId("split").addEventListener("input", ({ target }) => moveSplit(Number(target.value)));
byId("snapshot").addEventListener("click", () => snapshot(byId("picture")));
byId("record").addEventListener("click", record);
byId("fullscreen").addEventListener("click", fullScreen);
byId("fullscreen").hidden = !document.fullscreenEnabled;
byId("help-button").addEventListener("click", help);
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  submitToken(byId("token").value.trim());
});

listen({
  c: () => openCamera(),
  o: pickFile,
  1: () => chooseView("split"),
  2: () => chooseView("side"),
  3: () => chooseView("translated"),
  ArrowLeft: () => moveSplit(Number(byId("split").value) - 2),
  ArrowRight: () => moveSplit(Number(byId("split").value) + 2),
  s: enabled("snapshot", () => snapshot(byId("picture"))),
  r: enabled("record", record),
  f: enabled("fullscreen", fullScreen),
  "?": help,
}, openFile);

// A page that is left gives back its place at once; one that comes back from the cache begins anew.
addEventListener("pagehide", () => app.stop());
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());

setInterval(() => {
  const now = performance.now();
  const { fps, latency } = app.stats.now(now);
  const silent = app.kind === "server" && app.connection.transport && app.stats.millisecondsSinceFrame(now) > SILENCE_TIMEOUT_MS;
  if (silent && notices.name !== "silent") {
    status("stopped", STATUS.waiting);
    notices.show("silent");
  }
  byId("fps").textContent = fps ? fps.toFixed(1) : "–";
  byId("latency").textContent = latency === null ? "–" : Math.round(latency);
  byId("dropped").textContent = app.kind && app.kind !== "image" ? app.dropped : "–";
  byId("transport").textContent = app.connection.transport || "–";
}, 500);

moveSplit(50);
start();
