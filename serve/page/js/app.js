// One source, one connection, one picture: what belongs to it is shown together.

import { toSentence, translate } from "./transport/api.js";
import { ServerClock } from "./transport/clock.js";
import { Connection } from "./transport/connection.js";
import { FrameStats } from "./media/stats.js";
import { InFlightFrames } from "./media/inflight.js";
import { Camera, VideoFile, readImage } from "./media/sources.js";
import { STRIP_HEIGHT_PX } from "./media/timestamp.js";

export class App {
  /** on: {state(name, details), frame()}: the connection's states, and that something new is shown. */
  constructor(settings, view, videos, on) {
    Object.assign(this, { settings, view, videos, on });
    this.inFlight = new InFlightFrames();
    this.stats = new FrameStats();
    this.clock = new ServerClock();
    this.kind = ""; // camera, video, image, server
    this.connection = new Connection(this.inFlight.canvas, videos.answer, {
      frame: (...frame) => this.#onFrame(...frame),
      message: (message) => this.#onMessage(message),
      state: (name, details) => this.#state(name, details),
    });
  }

  async openCamera(deviceId) {
    this.stop();
    const ended = () => {
      this.stop();
      this.on.state("camera-gone");
    };
    this.source = await Camera.open(this.videos.camera, deviceId, this.#captured, ended);
    await this.#connect("camera", "mine");
  }

  async openFile(file) {
    this.stop();
    if (file.type.startsWith("image/")) {
      this.image = await readImage(file);
      this.kind = "image";
      return this.translateImage();
    }
    this.source = await VideoFile.open(this.videos.camera, file, this.#captured);
    await this.#connect("video", "mine");
  }

  openServer() {
    this.stop();
    return this.#connect("server", "server");
  }

  async #connect(kind, source) {
    this.kind = kind;
    this.stats.reset();
    this.inFlight.dropped = 0;
    await this.connection.open({ source, ...this.#selection() });
  }

  /** The server scales its own source; what is sent to it has the size that is wanted. */
  #selection() {
    const { settings, view } = this;
    if (this.kind !== "server") return settings.selection;
    return settings.selectionFor(view.shown && [view.shown.translated.height, view.shown.translated.width]);
  }

  stop() {
    this.connection.close();
    this.view.clear();
    this.source?.stop();
    this.image?.close();
    this.source = this.image = null;
    this.inFlight.clear();
    this.kind = "";
  }

  /** Another model or precision; a size is what is sent from now on. */
  updateSettings() {
    if (this.kind === "image") return this.translateImage();
    return this.connection.choose(this.#selection());
  }

  /** Sends the opened image once, without loss. */
  async translateImage() {
    const { image } = this;
    const [height, width] = this.settings.frameSizeFor([image.height, image.width]);
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { alpha: false });
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, width, height);
    this.stats.reset();
    const started = performance.now();
    const blob = await canvas.convertToBlob({ type: "image/png" });
    const answer = await translate(blob, this.settings.selection);
    const translated = await createImageBitmap(answer);
    if (this.image !== image) return translated.close();
    this.stats.frame(started, performance.now());
    this.#show(fullImage(canvas), fullImage(translated), image.width / image.height);
  }

  #captured = (video, captured, missed) => {
    this.inFlight.dropped += missed;
    if (!this.connection.transport || document.hidden) return;
    this.inFlight.resize(...this.settings.frameSizeFor(this.source.size));
    const timestamp = this.inFlight.add(video, captured);
    if (timestamp !== null) this.connection.send(timestamp);
  };

  /** A translated picture; height counts its strip. */
  #onFrame(image, height, width, timestamp) {
    if (this.kind === "server") {
      const half = (height - STRIP_HEIGHT_PX) / 2; // the original above, the translation below
      const captured = this.clock.captured(timestamp);
      if (captured !== null) this.stats.frame(captured, performance.now());
      this.#show({ image, y: 0, width, height: half }, { image, y: half, width, height: half }, width / half);
      return;
    }
    const sent = this.inFlight.take(timestamp);
    if (!sent) return image.close?.();
    const [rows, columns] = this.source.size;
    this.#show(fullImage(sent.original), { image, y: 0, width, height: height - STRIP_HEIGHT_PX }, columns / rows);
    this.stats.frame(sent.captured, performance.now());
  }

  #show(original, translated, aspect) {
    const previous = this.view.show(original, translated, aspect);
    if (previous) {
      if (previous.original.image instanceof OffscreenCanvas) this.inFlight.recycle(previous.original.image);
      if (previous.translated.image !== translated.image) previous.translated.image.close?.();
    }
    this.on.frame();
  }

  #onMessage(message) {
    if (message.kind === "clock") this.clock.update(message);
    if (message.kind === "error") this.on.state("trouble", { message: toSentence(message.message) });
  }

  #state(name, details) {
    this.inFlight.clear();
    this.clock.reset();
    this.stats.last = performance.now(); // silence counts from here
    this.on.state(name, details);
  }

  /** How many frames of the source were not shown. */
  get dropped() {
    return this.inFlight.dropped;
  }
}

function fullImage(image) {
  return { image, y: 0, width: image.width, height: image.height };
}
