// Pictures on their way: each is drawn with its timestamp for sending, and its original is kept until
// the translation comes, so that both can be shown together.

import { STRIP_HEIGHT_PX, TIMESTAMP_PERIOD_MS, writeTimestamp } from "./timestamp.js";

const MAX_IN_FLIGHT = 3; // more would only wait: for the encoder, the server, the network
const LATE_AFTER_MS = 500; // milliseconds after which a picture no longer counts as on its way
const MAX_ORIGINALS = 12; // originals, also of late ones

export class InFlightFrames {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    this.context.imageSmoothingQuality = "high";
    this.pending = new Map(); // timestamp -> {original, captured}, oldest first
    this.freeCanvases = [];
    this.dropped = 0;
    this.last = -1;
  }

  /** Ready for pictures of that size; what was on its way is forgotten. */
  resize(height, width) {
    if (this.canvas.width === width && this.canvas.height === height + STRIP_HEIGHT_PX) return;
    this.clear();
    this.freeCanvases = [];
    Object.assign(this.canvas, { width, height: height + STRIP_HEIGHT_PX });
    this.context.imageSmoothingQuality = "high";
  }

  clear() {
    for (const timestamp of [...this.pending.keys()]) this.#forget(timestamp);
  }

  /** Draws an image that was captured then (milliseconds of performance.now); returns its timestamp, or
   *  null where too many are on their way, which drops it. */
  add(image, captured) {
    const onTheWay = [...this.pending.values()].filter((sent) => captured - sent.captured < LATE_AFTER_MS);
    if (onTheWay.length >= MAX_IN_FLIGHT) {
      this.dropped += 1;
      return null;
    }
    if (this.pending.size >= MAX_ORIGINALS) {
      this.#forget(this.pending.keys().next().value);
      this.dropped += 1;
    }
    const { width, height } = this.canvas;
    this.context.drawImage(image, 0, 0, width, height - STRIP_HEIGHT_PX);
    const original = this.freeCanvases.pop() ?? new OffscreenCanvas(width, height - STRIP_HEIGHT_PX);
    original.getContext("2d", { alpha: false, willReadFrequently: true }).drawImage(this.canvas, 0, 0);
    let timestamp = Math.floor(captured) % TIMESTAMP_PERIOD_MS;
    if (timestamp === this.last) timestamp = (timestamp + 1) % TIMESTAMP_PERIOD_MS;
    this.last = timestamp;
    writeTimestamp(this.context, timestamp);
    this.pending.set(timestamp, { original, captured });
    return timestamp;
  }

  /** What was sent with that timestamp, or null; what was sent before it and not answered is dropped. */
  take(timestamp) {
    const found = this.pending.get(timestamp);
    if (!found) return null;
    for (const earlier of [...this.pending.keys()]) {
      if (earlier === timestamp) break;
      this.#forget(earlier);
      this.dropped += 1;
    }
    this.pending.delete(timestamp);
    return found;
  }

  /** An original that is no longer shown can be drawn into again. */
  recycle(original) {
    const { width, height } = this.canvas;
    if (original.width === width && original.height === height - STRIP_HEIGHT_PX && this.freeCanvases.length < 8)
      this.freeCanvases.push(original);
  }

  #forget(timestamp) {
    this.recycle(this.pending.get(timestamp).original);
    this.pending.delete(timestamp);
  }
}
