// Frames shown, how late, and how many were not.

const WINDOW_MS = 2000; // milliseconds that the figures look back
const MAX_LATENCIES = 20_000; // latencies that are kept for percentiles

export class FrameStats {
  constructor() {
    this.reset();
  }

  reset() {
    this.times = []; // of display within the window
    this.recent = []; // their latencies
    this.latencies = []; // all of this connection, milliseconds
    this.shown = 0;
    this.last = performance.now(); // that one was displayed
  }

  /** A frame captured then is on the screen; milliseconds of performance.now. */
  frame(captured, now) {
    this.times.push(now);
    this.recent.push(now - captured);
    if (this.latencies.length < MAX_LATENCIES) this.latencies.push(now - captured);
    this.shown += 1;
    this.last = now;
    this.#forget(now);
  }

  #forget(now) {
    while (this.times.length && now - this.times[0] > WINDOW_MS) {
      this.times.shift();
      this.recent.shift();
    }
  }

  /** Milliseconds without a frame. */
  millisecondsSinceFrame(now) {
    return now - this.last;
  }

  /** {fps, latency} of the last seconds; latency is the median in milliseconds, null for none. */
  now(now) {
    this.#forget(now);
    const { times, recent } = this;
    const span = times.length > 1 ? times.at(-1) - times[0] : 0;
    const fps = span ? ((times.length - 1) * 1000) / Math.max(span, now - times[0]) : 0;
    return { fps, latency: percentile(recent, 50) };
  }
}

/** Of milliseconds; null where there are none. */
export function percentile(values, q) {
  if (!values.length) return null;
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * q) / 100))];
}
