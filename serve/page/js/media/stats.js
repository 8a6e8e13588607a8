// Frame statistics: frames shown, frame rate, latency.

const WINDOW_MS = 2000; // period of the displayed frame rate and latency
const MAX_LATENCIES = 20_000; // latencies kept for percentiles

export class FrameStats {
  constructor() {
    this.reset();
  }

  reset() {
    this.times = []; // display times within the window
    this.recent = []; // latencies within the window
    this.latencies = []; // all latencies of this connection, in milliseconds
    this.shown = 0;
    this.lastShownAt = performance.now();
  }

  /** Counts a frame that is now on the screen. Times are in milliseconds of performance.now(). */
  addFrame(capturedAt, now) {
    this.times.push(now);
    this.recent.push(now - capturedAt);
    if (this.latencies.length < MAX_LATENCIES) this.latencies.push(now - capturedAt);
    this.shown += 1;
    this.lastShownAt = now;
    this.#dropOld(now);
  }

  #dropOld(now) {
    while (this.times.length && now - this.times[0] > WINDOW_MS) {
      this.times.shift();
      this.recent.shift();
    }
  }

  /** Restarts the count of millisecondsSinceFrame. */
  restartSilence() {
    this.lastShownAt = performance.now();
  }

  millisecondsSinceFrame(now) {
    return now - this.lastShownAt;
  }

  /** Returns {fps, latency} of the window. latency is the median in milliseconds, or null. */
  summary(now) {
    this.#dropOld(now);
    const { times, recent } = this;
    const span = times.length > 1 ? times.at(-1) - times[0] : 0;
    const fps = span ? ((times.length - 1) * 1000) / Math.max(span, now - times[0]) : 0;
    return { fps, latency: percentile(recent, 50) };
  }
}

/** Returns the q-th percentile of values, or null if there are none. */
function percentile(values, q) {
  if (!values.length) return null;
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * q) / 100))];
}
