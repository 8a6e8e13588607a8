// The server's clock, for pictures that it captured itself.

import { WRAP } from "./stamp.js";

export class Clock {
  constructor() {
    this.reset();
  }

  reset() {
    this.shortest = Infinity;
    this.offset = null; // server - page, milliseconds
  }

  /** The answer to a question asked at `page`; the quickest is the most exact. */
  answered({ page, server }) {
    const now = performance.now();
    if (now - page >= this.shortest) return;
    this.shortest = now - page;
    this.offset = server - (page + now) / 2;
  }

  /** performance.now at the moment of a server's stamp; null before the first answer. */
  captured(stamp) {
    if (this.offset === null) return null;
    const now = performance.now();
    const age = (((now + this.offset - stamp) % WRAP) + WRAP) % WRAP;
    return now - (age > WRAP / 2 ? age - WRAP : age);
  }
}
