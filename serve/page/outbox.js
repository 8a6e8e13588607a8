// Pictures on their way: each is drawn with its stamp for sending, and its original is kept until
// the translation comes, so that both can be shown together.

import { STRIP, WRAP, writeStamp } from "./stamp.js";

const IN_FLIGHT = 3; // more would only wait: for the encoder, the server, the network
const LATE = 500; // milliseconds after which a picture no longer counts as on its way
const KEPT = 12; // originals, also of late ones

export class Outbox {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    this.context.imageSmoothingQuality = "high";
    this.waiting = new Map(); // stamp -> {original, captured}, oldest first
    this.spare = [];
    this.lost = 0;
    this.last = -1;
  }

  /** Ready for pictures of that size; what was on its way is forgotten. */
  resize(height, width) {
    if (this.canvas.width === width && this.canvas.height === height + STRIP) return;
    this.clear();
    this.spare = [];
    Object.assign(this.canvas, { width, height: height + STRIP });
    this.context.imageSmoothingQuality = "high";
  }

  clear() {
    for (const stamp of [...this.waiting.keys()]) this.#forget(stamp);
  }

  /** Draws an image that was captured then (milliseconds of performance.now); returns its stamp, or
   *  null where too many are on their way, which drops it. */
  put(image, captured) {
    const onTheWay = [...this.waiting.values()].filter((sent) => captured - sent.captured < LATE);
    if (onTheWay.length >= IN_FLIGHT) {
      this.lost += 1;
      return null;
    }
    if (this.waiting.size >= KEPT) {
      this.#forget(this.waiting.keys().next().value);
      this.lost += 1;
    }
    const { width, height } = this.canvas;
    this.context.drawImage(image, 0, 0, width, height - STRIP);
    const original = this.spare.pop() ?? new OffscreenCanvas(width, height - STRIP);
    original.getContext("2d", { alpha: false, willReadFrequently: true }).drawImage(this.canvas, 0, 0);
    let stamp = Math.floor(captured) % WRAP;
    if (stamp === this.last) stamp = (stamp + 1) % WRAP;
    this.last = stamp;
    writeStamp(this.context, stamp);
    this.waiting.set(stamp, { original, captured });
    return stamp;
  }

  /** What was sent with that stamp, or null; what was sent before it and not answered is lost. */
  take(stamp) {
    const found = this.waiting.get(stamp);
    if (!found) return null;
    for (const earlier of [...this.waiting.keys()]) {
      if (earlier === stamp) break;
      this.#forget(earlier);
      this.lost += 1;
    }
    this.waiting.delete(stamp);
    return found;
  }

  /** An original that is no longer shown can be drawn into again. */
  recycle(original) {
    const { width, height } = this.canvas;
    if (original.width === width && original.height === height - STRIP && this.spare.length < 8)
      this.spare.push(original);
  }

  #forget(stamp) {
    this.recycle(this.waiting.get(stamp).original);
    this.waiting.delete(stamp);
  }
}
