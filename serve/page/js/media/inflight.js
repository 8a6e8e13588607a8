// Frames in flight: sent to the server and not yet translated. Each frame is drawn with its timestamp
// for sending. A copy of the original is kept until the translation arrives, so that the page shows
// both together.

import { STRIP_HEIGHT_PX, TIMESTAMP_PERIOD_MS, writeTimestamp } from "./timestamp.js";

const MAX_IN_FLIGHT = 3; // more would only queue: at the encoder, the server or the network
const LATE_AFTER_MS = 500; // a frame older than this no longer counts as in flight
const MAX_ORIGINALS = 12; // originals kept, including those of late frames
const MAX_FREE_CANVASES = 8;

export class InFlightFrames {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    this.context.imageSmoothingQuality = "high";
    this.pending = new Map(); // timestamp -> {original, capturedAt}, oldest first
    this.freeCanvases = [];
    this.dropped = 0;
    this.lastTimestamp = -1;
  }

  /** Sets the size of the frames to send, and returns whether it is new. A new size discards the frames
   *  in flight. */
  resize(width, height) {
    if (this.canvas.width === width && this.canvas.height === height + STRIP_HEIGHT_PX) return false;
    this.clear();
    this.freeCanvases = [];
    Object.assign(this.canvas, { width, height: height + STRIP_HEIGHT_PX });
    this.context.imageSmoothingQuality = "high";
    return true;
  }

  clear() {
    for (const timestamp of [...this.pending.keys()]) this.#discard(timestamp);
  }

  /** Draws an image captured at `capturedAt` (milliseconds of performance.now()) for sending. Returns its
   *  timestamp, or null if too many frames are in flight; the image is then dropped. */
  add(image, capturedAt) {
    const recent = [...this.pending.values()].filter((sent) => capturedAt - sent.capturedAt < LATE_AFTER_MS);
    if (recent.length >= MAX_IN_FLIGHT) {
      this.dropped += 1;
      return null;
    }
    if (this.pending.size >= MAX_ORIGINALS) {
      this.#discard(this.pending.keys().next().value);
      this.dropped += 1;
    }
    const { width, height } = this.canvas;
    this.context.drawImage(image, 0, 0, width, height - STRIP_HEIGHT_PX);
    const original = this.freeCanvases.pop() ?? new OffscreenCanvas(width, height - STRIP_HEIGHT_PX);
    original.getContext("2d", { alpha: false, willReadFrequently: true }).drawImage(this.canvas, 0, 0);
    let timestamp = Math.floor(capturedAt) % TIMESTAMP_PERIOD_MS;
    if (timestamp === this.lastTimestamp) timestamp = (timestamp + 1) % TIMESTAMP_PERIOD_MS;
    this.lastTimestamp = timestamp;
    writeTimestamp(this.context, timestamp);
    this.pending.set(timestamp, { original, capturedAt });
    return timestamp;
  }

  /** Returns what was sent with a timestamp, or null. Older frames without a translation are dropped. */
  take(timestamp) {
    const found = this.pending.get(timestamp);
    if (!found) return null;
    for (const earlier of [...this.pending.keys()]) {
      if (earlier === timestamp) break;
      this.#discard(earlier);
      this.dropped += 1;
    }
    this.pending.delete(timestamp);
    return found;
  }

  /** Takes back the canvas of an original that is no longer shown. */
  recycle(original) {
    const { width, height } = this.canvas;
    const sameSize = original.width === width && original.height === height - STRIP_HEIGHT_PX;
    if (sameSize && this.freeCanvases.length < MAX_FREE_CANVASES) this.freeCanvases.push(original);
  }

  #discard(timestamp) {
    this.recycle(this.pending.get(timestamp).original);
    this.pending.delete(timestamp);
  }
}
