// One source, one connection, one picture: what belongs to it is shown together.

import { sentence, translate } from "./api.js";
import { Clock } from "./clock.js";
import { Link } from "./link.js";
import { Meter } from "./meter.js";
import { Outbox } from "./outbox.js";
import { Camera, VideoFile, readImage } from "./sources.js";
import { STRIP } from "./stamp.js";

export class App {
  /** on: {state(name, details), frame()}: the link's states, and that something new is shown. */
  constructor(settings, view, videos, on) {
    Object.assign(this, { settings, view, videos, on });
    this.outbox = new Outbox();
    this.meter = new Meter();
    this.clock = new Clock();
    this.kind = ""; // camera, video, image, server
    this.link = new Link(this.outbox.canvas, videos.answer, {
      frame: (...frame) => this.#arrived(...frame),
      message: (message) => this.#told(message),
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
    this.meter.reset();
    this.outbox.lost = 0;
    await this.link.open({ source, ...this.#asked() });
  }

  /** The server scales its own source; what is sent to it has the size that is wanted. */
  #asked() {
    const { settings, view } = this;
    if (this.kind !== "server") return settings.asked;
    return settings.askedFor(view.shown && [view.shown.translated.height, view.shown.translated.width]);
  }

  stop() {
    this.link.close();
    this.view.clear();
    this.source?.stop();
    this.image?.close();
    this.source = this.image = null;
    this.outbox.clear();
    this.kind = "";
  }

  /** Another model or precision; a size is what is sent from now on. */
  rechoose() {
    if (this.kind === "image") return this.translateImage();
    return this.link.choose(this.#asked());
  }

  /** Sends the opened image once, without loss. */
  async translateImage() {
    const { image } = this;
    const [height, width] = this.settings.pictureFor([image.height, image.width]);
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { alpha: false });
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, width, height);
    this.meter.reset();
    const started = performance.now();
    const blob = await canvas.convertToBlob({ type: "image/png" });
    const answer = await translate(blob, this.settings.asked);
    const translated = await createImageBitmap(answer);
    if (this.image !== image) return translated.close();
    this.meter.frame(started, performance.now());
    this.#show(whole(canvas), whole(translated), image.width / image.height);
  }

  #captured = (video, captured, missed) => {
    this.outbox.lost += missed;
    if (!this.link.transport || document.hidden) return;
    this.outbox.resize(...this.settings.pictureFor(this.source.size));
    const stamp = this.outbox.put(video, captured);
    if (stamp !== null) this.link.send(stamp);
  };

  /** A translated picture; height counts its strip. */
  #arrived(image, height, width, stamp) {
    if (this.kind === "server") {
      const half = (height - STRIP) / 2; // the original above, the translation below
      const captured = this.clock.captured(stamp);
      if (captured !== null) this.meter.frame(captured, performance.now());
      this.#show({ image, y: 0, width, height: half }, { image, y: half, width, height: half }, width / half);
      return;
    }
    const sent = this.outbox.take(stamp);
    if (!sent) return image.close?.();
    const [rows, columns] = this.source.size;
    this.#show(whole(sent.original), { image, y: 0, width, height: height - STRIP }, columns / rows);
    this.meter.frame(sent.captured, performance.now());
  }

  #show(original, translated, aspect) {
    const freed = this.view.show(original, translated, aspect);
    if (freed) {
      if (freed.original.image instanceof OffscreenCanvas) this.outbox.recycle(freed.original.image);
      if (freed.translated.image !== translated.image) freed.translated.image.close?.();
    }
    this.on.frame();
  }

  #told(message) {
    if (message.kind === "clock") this.clock.answered(message);
    if (message.kind === "error") this.on.state("trouble", { message: sentence(message.message) });
  }

  #state(name, details) {
    this.outbox.clear();
    this.clock.reset();
    this.meter.last = performance.now(); // silence counts from here
    this.on.state(name, details);
  }

  /** How many frames of the source were not shown. */
  get dropped() {
    return this.outbox.lost;
  }
}

function whole(image) {
  return { image, y: 0, width: image.width, height: image.height };
}
