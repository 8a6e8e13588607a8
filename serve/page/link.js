// The connection to the server: WebRTC first, the WebSocket where that cannot connect; when it is
// lost, again and again, with growing pauses.

import { ServerError } from "./api.js";
import { Socket } from "./websocket.js";
import { WebRTC } from "./webrtc.js";

const FIRST_PAUSE = 1; // seconds; doubles up to
const LONGEST_PAUSE = 30;
const BEAT = 1000; // milliseconds between questions to the server, which it answers at once
const SILENCE = 5000; // milliseconds after which it is gone

export class Link {
  /** on: {frame, message, state(name, details)}; names: connecting, open, waiting, stopped. */
  constructor(canvas, video, on) {
    Object.assign(this, { canvas, video, on });
    this.transports = new URLSearchParams(location.search).has("websocket") ? [Socket] : [WebRTC, Socket];
    this.attempt = 0;
    this.generation = 0; // what began before the last open() or close() is void
  }

  get transport() {
    return this.link?.name ?? "";
  }

  /** Connects, and stays connected until close(). asked: {source, model, size, precision}. */
  async open(asked) {
    this.close();
    this.asked = asked;
    this.attempt = 0;
    await this.#connect();
  }

  async #connect() {
    const generation = ++this.generation;
    clearTimeout(this.timer);
    this.on.state("connecting");
    const canvas = this.asked.source === "server" ? null : this.canvas;
    const on = {
      frame: (...given) => generation === this.generation && this.on.frame(...given),
      message: (message) => {
        this.heard = performance.now();
        if (generation === this.generation) this.on.message(message);
      },
      closed: (why) => generation === this.generation && this.#lost(why ?? new ServerError("gone", "")),
    };
    for (const Transport of this.transports) {
      try {
        const link = await Transport.open(this.asked, canvas, this.video, on);
        if (generation !== this.generation) return link.close();
        this.link = link;
        this.attempt = 0;
        this.#beat();
        return this.on.state("open", { transport: link.name });
      } catch (error) {
        if (generation !== this.generation) return;
        const last = Transport === this.transports.at(-1);
        const final = error instanceof ServerError && ["token", "full", "refused"].includes(error.kind);
        if (last || final) return this.#lost(error);
      }
    }
  }

  /** Asks for the server's clock, and notices when nothing comes back. */
  #beat() {
    this.heard = performance.now();
    const ask = () => {
      if (performance.now() - this.heard > SILENCE) return this.#lost(new ServerError("gone", ""));
      return this.say({ kind: "clock", page: performance.now() });
    };
    this.beating = setInterval(ask, BEAT);
    ask();
  }

  #leave() {
    this.generation += 1;
    clearTimeout(this.timer);
    clearInterval(this.beating);
    this.link?.close();
    this.link = null;
  }

  #lost(error) {
    this.#leave();
    const kind = error.kind ?? "gone";
    if (kind === "token" || kind === "refused") return this.on.state("stopped", { kind, message: error.message });
    const pause = Math.max(error.wait ?? 0, Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.attempt));
    this.attempt += 1;
    this.on.state("waiting", { kind, message: error.message, until: Date.now() + pause * 1000 });
    this.timer = setTimeout(() => this.#connect(), pause * 1000);
  }

  /** Does not wait for the next try. */
  retry() {
    if (!this.link && this.asked) this.#connect();
  }

  /** Another choice, now and after every reconnection. */
  choose(asked) {
    if (!this.asked) return;
    this.asked = { source: this.asked.source, ...asked };
    this.say({ kind: "choose", ...asked });
  }

  send(stamp) {
    this.link?.send(stamp);
  }

  say(message) {
    this.link?.say(message);
  }

  close() {
    this.#leave();
    this.asked = null;
  }
}
