// The application without its controls: one source, one connection, one view. An original frame and its
// translation are always shown together.

import { InFlightFrames } from "./media/inflight.js";
import { Camera, VideoFile, readImage } from "./media/sources.js";
import { FrameStats } from "./media/stats.js";
import { STRIP_HEIGHT_PX } from "./media/timestamp.js";
import { toSentence, translate } from "./transport/api.js";
import { ServerClock } from "./transport/clock.js";
import { Connection } from "./transport/connection.js";

export class App {
  /** videos: {camera, received}, <video> elements. on: {state(name, details), frame()}: a new state of
   *  the connection, a new frame on the screen. */
  constructor(settings, view, videos, on) {
    Object.assign(this, { settings, view, videos, on });
    this.inFlight = new InFlightFrames();
    this.stats = new FrameStats();
    this.clock = new ServerClock();
    this.kind = ""; // camera, video, image, server
    this.connection = new Connection(this.inFlight.canvas, videos.received, {
      frame: (...frame) => this.#onFrame(...frame),
      message: (message) => this.#onMessage(message),
      state: (name, details) => this.#onState(name, details),
    });
  }

  async openCamera(deviceId) {
    this.stop();
    const onEnded = () => {
      this.stop();
      this.on.state("camera-gone");
    };
    this.source = await Camera.open(this.videos.camera, deviceId, this.#onCaptured, onEnded);
    await this.#connect("camera", "mine");
  }

  async openFile(file) {
    this.stop();
    if (file.type.startsWith("image/")) {
      this.image = await readImage(file);
      this.kind = "image";
      return this.translateImage();
    }
    this.source = await VideoFile.open(this.videos.camera, file, this.#onCaptured);
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

  /** Model, precision and size of the network for the frames of the source. */
  #selection() {
    const { settings, view, image, source } = this;
    if (this.kind === "server")
      return settings.selectionFor(view.shown && [view.shown.translated.width, view.shown.translated.height]);
    const size = image ? [image.width, image.height] : source.size;
    return settings.selectionFor(settings.frameSizeFor(size, Boolean(image)));
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

  /** Applies a changed model, precision or size. */
  updateSettings() {
    if (this.kind === "image") return this.translateImage();
    return this.connection.select(this.#selection());
  }

  /** Sends the opened image once, as PNG. */
  async translateImage() {
    const { image } = this;
    const [width, height] = this.settings.frameSizeFor([image.width, image.height], true);
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { alpha: false });
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, width, height);
    this.stats.reset();
    const startedAt = performance.now();
    const blob = await canvas.convertToBlob({ type: "image/png" });
    const translated = await createImageBitmap(await translate(blob, this.#selection()));
    if (this.image !== image) return translated.close();
    this.stats.addFrame(startedAt, performance.now());
    this.#show(fullImage(canvas), fullImage(translated), image.width / image.height);
  }

  #onCaptured = (video, capturedAt, missed) => {
    this.inFlight.dropped += missed;
    if (!this.connection.transport || document.hidden) return;
    // A phone that is turned changes the size.
    if (this.inFlight.resize(...this.settings.frameSizeFor(this.source.size))) this.connection.select(this.#selection());
    const timestamp = this.inFlight.add(video, capturedAt);
    if (timestamp !== null) this.connection.send(timestamp);
  };

  /** Shows a translated frame. `height` includes the timestamp strip. */
  #onFrame(image, width, height, timestamp) {
    if (this.kind === "server") {
      const half = (height - STRIP_HEIGHT_PX) / 2; // the original above, the translation below
      const capturedAt = this.clock.toPageTime(timestamp);
      if (capturedAt !== null) this.stats.addFrame(capturedAt, performance.now());
      this.#show({ image, y: 0, width, height: half }, { image, y: half, width, height: half }, width / half);
      return;
    }
    const sent = this.inFlight.take(timestamp);
    if (!sent) return image.close?.();
    const [sourceWidth, sourceHeight] = this.source.size;
    const translated = { image, y: 0, width, height: height - STRIP_HEIGHT_PX };
    this.#show(fullImage(sent.original), translated, sourceWidth / sourceHeight);
    this.stats.addFrame(sent.capturedAt, performance.now());
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

  #onState(name, details) {
    this.inFlight.clear();
    this.clock.reset();
    this.stats.restartSilence();
    this.on.state(name, details);
  }

  /** Number of frames of the source that were not shown. */
  get dropped() {
    return this.inFlight.dropped;
  }
}

function fullImage(image) {
  return { image, y: 0, width: image.width, height: image.height };
}
