// Offset of the server's clock, for the latency of frames that the server captured.

import { TIMESTAMP_PERIOD_MS } from "../media/timestamp.js";

export class ServerClock {
  constructor() {
    this.reset();
  }

  reset() {
    this.shortestRoundTrip = Infinity;
    this.offset = null; // server time - page time, in milliseconds
  }

  /** Uses a reply to a clock message sent at `page`. The shortest round trip is the most accurate. */
  update({ page, server }) {
    const now = performance.now();
    if (now - page >= this.shortestRoundTrip) return;
    this.shortestRoundTrip = now - page;
    this.offset = server - (page + now) / 2;
  }

  /** Converts a timestamp of the server to performance.now() time; null before the first reply. */
  toPageTime(timestamp) {
    if (this.offset === null) return null;
    const now = performance.now();
    const age = modulo(now + this.offset - timestamp, TIMESTAMP_PERIOD_MS);
    return now - (age > TIMESTAMP_PERIOD_MS / 2 ? age - TIMESTAMP_PERIOD_MS : age);
  }
}

const modulo = (value, period) => ((value % period) + period) % period;
