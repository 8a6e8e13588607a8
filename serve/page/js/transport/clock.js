// The server's clock, for pictures that it captured itself.

import { TIMESTAMP_PERIOD_MS } from "../media/timestamp.js";

export class ServerClock {
  constructor() {
    this.reset();
  }

  reset() {
    this.shortestRoundTrip = Infinity;
    this.offset = null; // server - page, milliseconds
  }

  /** The answer to a question asked at `page`; the quickest is the most exact. */
  update({ page, server }) {
    const now = performance.now();
    if (now - page >= this.shortestRoundTrip) return;
    this.shortestRoundTrip = now - page;
    this.offset = server - (page + now) / 2;
  }

  /** performance.now at the moment of a server's timestamp; null before the first answer. */
  captured(timestamp) {
    if (this.offset === null) return null;
    const now = performance.now();
    const age = (((now + this.offset - timestamp) % TIMESTAMP_PERIOD_MS) + TIMESTAMP_PERIOD_MS) % TIMESTAMP_PERIOD_MS;
    return now - (age > TIMESTAMP_PERIOD_MS / 2 ? age - TIMESTAMP_PERIOD_MS : age);
  }
}
