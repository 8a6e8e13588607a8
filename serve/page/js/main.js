// Controls, shortcuts and notices of the page. app.js does the rest.

import { App } from "./app.js";
import { Recorder, saveSnapshot } from "./media/capture.js";
import { Camera, SourceError } from "./media/sources.js";
import { fetchModels, submitToken, wasTokenRejected } from "./transport/api.js";
import { listenForInput } from "./ui/input.js";
import { Notices } from "./ui/notices.js";
import { Settings } from "./ui/settings.js";
import { View } from "./ui/view.js";

const byId = (id) => document.getElementById(id);
const queryAll = (selector) => [...document.querySelectorAll(selector)];

const STATUS = { connecting: "Connecting", open: "Live", waiting: "Waiting", stopped: "Stopped" };
const SILENCE_TIMEOUT_MS = 5000; // without a frame of the server's source
const STATS_INTERVAL_MS = 500;
const SPLIT_STEP_PERCENT = 2;

const notices = new Notices();
const view = new View(byId("canvas"), byId("frame"));
const settings = new Settings(() => tryTo(() => app.updateSettings()));
const videos = { camera: byId("camera-video"), received: byId("received-video") };
export const app = new App(settings, view, videos, { state: onState, frame: onFrame });
const recorder = new Recorder(byId("canvas"), (recording) => {
  byId("record").textContent = recording ? "Stop" : "Record";
  byId("record").classList.toggle("recording", recording);
});

let retry = start; // action of "Try again"
let server = null; // reply of GET /v1/models

async function start() {
  await tryTo(async () => {
    await loadModels();
    if (retry !== start) return; // the user opened a source in the meantime
    if (server.source) await openServer();
    else showWelcome();
  });
}

/** Fetches what the server offers. Throws ServerError. */
async function loadModels() {
  server = await fetchModels();
  settings.setModels(server.models);
  document.querySelector("[data-source=server]").hidden = !server.source;
}

function showWelcome() {
  setStatus("idle", "Ready");
  notices.show("welcome", { actions: [["Use the camera", () => openCamera()], ["Open a file", pickFile]] });
}

/** Runs an action and shows a notice if it fails. */
async function tryTo(action) {
  try {
    await action();
  } catch (error) {
    if (error.name === "AbortError") return; // another source was opened in the meantime
    if (error instanceof SourceError) return onSourceError(error.kind);
    onState("stopped", { kind: error.kind ?? "trouble", message: error.message });
  }
}

function onSourceError(notice) {
  setStatus("stopped", "Stopped");
  setPressed("source", "");
  setFrameHidden(true);
  const openAFile = ["Open a file", pickFile];
  const tryAgain = ["Try again", () => retry()];
  notices.show(notice, { actions: notice === "camera-insecure" ? [openAFile] : [tryAgain, openAFile] });
}

/** Opens a source with an action, which "Try again" repeats. */
function openSource(name, action) {
  retry = () => openSource(name, action);
  setPressed("source", name);
  if (name !== "camera") byId("camera").hidden = true;
  return tryTo(async () => {
    if (!server) await loadModels(); // the server may require a token first
    await action();
  });
}

function openCamera(deviceId) {
  return openSource("camera", async () => {
    notices.show("asking");
    await app.openCamera(deviceId);
    const cameras = await Camera.list();
    byId("camera").replaceChildren(...cameras.map((c, i) => new Option(c.label || `Camera ${i + 1}`, c.deviceId)));
    byId("camera").value = app.source?.deviceId ?? "";
    byId("camera").hidden = cameras.length < 2;
  });
}

function openFile(file) {
  return openSource("file", async () => {
    await app.openFile(file);
    if (app.kind === "image") setStatus("live", "Translated");
  });
}

function openServer() {
  return openSource("server", () => app.openServer());
}

function pickFile() {
  byId("file").value = "";
  byId("file").click();
}

function onState(name, { kind, message = "", until } = {}) {
  if (name === "camera-gone") return onSourceError(name);
  if (name === "trouble") return notices.show("trouble", { text: message });
  setStatus({ open: "live", connecting: "connecting" }[name] ?? "stopped", STATUS[name]);
  if (name === "connecting" && !notices.name) return undefined;
  if (name === "connecting" || name === "open") return notices.show("connecting");
  setFrameHidden(true);
  const tryNow = ["Try now", () => app.connection.retry()];
  if (name === "waiting") return notices.show(kind === "full" ? "full" : "gone", { until, actions: [tryNow] });
  if (kind === "token") return notices.show("token", { text: wasTokenRejected() ? "That token is not valid." : "" });
  const notice = ["gone", "trouble"].includes(kind) ? kind : "refused";
  return notices.show(notice, { text: message, actions: [["Try again", () => retry()]] });
}

function onFrame() {
  setFrameHidden(false);
  if (notices.name === "silent") setStatus("live", STATUS.open);
  if (notices.name) notices.hide();
}

function setStatus(state, text) {
  byId("status").dataset.state = state;
  byId("status").textContent = text;
}

/** Hides or shows the view, and with it the actions that need a frame. */
function setFrameHidden(hidden) {
  if (byId("frame").hidden === hidden) return;
  byId("frame").hidden = hidden;
  for (const id of ["snapshot", "record", "fullscreen"]) byId(id).disabled = hidden;
  byId("record").disabled ||= !Recorder.isSupported;
  if (hidden) recorder.stop();
}

function setPressed(group, name) {
  for (const button of queryAll(`button[data-${group}]`))
    button.setAttribute("aria-pressed", button.dataset[group] === name);
}

function selectView(mode) {
  setPressed("view", mode);
  view.setMode(mode);
}

function moveSplit(percent) {
  byId("split").value = percent;
  view.moveSplit(percent / 100);
}

const stepSplit = (step) => moveSplit(Number(byId("split").value) + step);
const takeSnapshot = () => saveSnapshot(byId("canvas"));
const toggleRecording = () => (recorder.recording ? recorder.stop() : recorder.start());
const toggleFullscreen = () =>
  document.fullscreenElement ? document.exitFullscreen() : byId("stage").requestFullscreen?.();
const showHelp = () => byId("help").showModal();
const ifEnabled = (id, action) => () => byId(id).disabled || action();

const sourceActions = { camera: () => openCamera(), file: pickFile, server: openServer };
for (const button of queryAll("[data-source]"))
  button.addEventListener("click", sourceActions[button.dataset.source]);
for (const button of queryAll("button[data-view]"))
  button.addEventListener("click", () => selectView(button.dataset.view));
byId("camera").addEventListener("change", ({ target }) => openCamera(target.value));
byId("file").addEventListener("change", ({ target }) => target.files[0] && openFile(target.files[0]));
byId("split").addEventListener("input", ({ target }) => moveSplit(Number(target.value)));
byId("snapshot").addEventListener("click", takeSnapshot);
byId("record").addEventListener("click", toggleRecording);
byId("fullscreen").addEventListener("click", toggleFullscreen);
byId("fullscreen").hidden = !document.fullscreenEnabled;
byId("help-button").addEventListener("click", showHelp);
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  submitToken(byId("token").value.trim());
});

listenForInput({
  c: () => openCamera(),
  o: pickFile,
  1: () => selectView("split"),
  2: () => selectView("side"),
  3: () => selectView("translated"),
  ArrowLeft: () => stepSplit(-SPLIT_STEP_PERCENT),
  ArrowRight: () => stepSplit(SPLIT_STEP_PERCENT),
  s: ifEnabled("snapshot", takeSnapshot),
  r: ifEnabled("record", toggleRecording),
  f: ifEnabled("fullscreen", toggleFullscreen),
  "?": showHelp,
}, openFile);

// A page that is left frees its session at once. A page restored from the browser's cache starts again.
addEventListener("pagehide", () => app.stop());
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());

function updateStats() {
  const now = performance.now();
  const { fps, latency } = app.stats.summary(now);
  const serverIsOpen = app.kind === "server" && app.connection.transport;
  const silent = serverIsOpen && app.stats.millisecondsSinceFrame(now) > SILENCE_TIMEOUT_MS;
  if (silent && notices.name !== "silent") {
    setStatus("stopped", STATUS.waiting);
    notices.show("silent");
  }
  byId("fps").textContent = fps ? fps.toFixed(1) : "–";
  byId("latency").textContent = latency === null ? "–" : Math.round(latency);
  byId("dropped").textContent = app.kind && app.kind !== "image" ? app.dropped : "–";
  byId("transport").textContent = app.connection.transport || "–";
}

setInterval(updateStats, STATS_INTERVAL_MS);
moveSplit(50);
start();
