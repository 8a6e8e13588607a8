// The connection to the server: WebRTC first, the WebSocket where that cannot connect; when it is
// lost, again and again, with growing pauses.

import { ServerError } from "./api.js";
import { WebSocketTransport } from "./websocket.js";
import { WebRTC } from "./webrtc.js";

const FIRST_RETRY_DELAY_S = 1; // seconds; doubles up to
const MAX_RETRY_DELAY_S = 30;
const PING_INTERVAL_MS = 1000; // milliseconds between questions to the server, which it answers at once
const SILENCE_TIMEOUT_MS = 5000; // milliseconds after which it is gone

export class Connection {
  /** on: {frame, message, state(name, details)}; names: connecting, open, waiting, stopped. */
  constructor(canvas, video, on) {
    Object.assign(this, { canvas, video, on });
    this.transports = new URLSearchParams(location.search).has("websocket") ? [WebSocketTransport] : [WebRTC, WebSocketTransport];
    this.attempt = 0;
    this.generation = 0; // what began before the last open() or close() is void
  }

  get transport() {
    return this.transportInUse?.name ?? "";
  }

  /** Connects, and stays connected until close(). selection: {source, model, size, precision}. */
  async open(selection) {
    this.close();
    this.selection = selection;
    this.attempt = 0;
    await this.#connect();
  }

  async #connect() {
    const generation = ++this.generation;
    clearTimeout(this.timer);
    this.on.state("connecting");
    const canvas = this.selection.source === "server" ? null : this.canvas;
    const on = {
      frame: (...given) => generation === this.generation && this.on.frame(...given),
      message: (message) => {
        this.lastHeard = performance.now();
        if (generation === this.generation) this.on.message(message);
      },
      closed: (why) => generation === this.generation && this.#lost(why ?? new ServerError("gone", "")),
    };
    for (const Transport of this.transports) {
      try {
        const transportInUse = await Transport.open(this.selection, canvas, this.video, on);
        if (generation !== this.generation) return transportInUse.close();
        this.transportInUse = transportInUse;
        this.attempt = 0;
        this.#startPings();
        return this.on.state("open", { transport: transportInUse.name });
      } catch (error) {
        if (generation !== this.generation) return;
        const last = Transport === this.transports.at(-1);
        const final = error instanceof ServerError && ["token", "full", "refused"].includes(error.kind);
        if (last || final) return this.#lost(error);
      }
    }
  }

  /** Asks for the server's clock, and notices when nothing comes back. */
  #startPings() {
    this.lastHeard = performance.now();
    const ask = () => {
      if (performance.now() - this.lastHeard > SILENCE_TIMEOUT_MS) return this.#lost(new ServerError("gone", ""));
      return this.sendMessage({ kind: "clock", page: performance.now() });
    };
    this.pingTimer = setInterval(ask, PING_INTERVAL_MS);
    ask();
  }

  #disconnect() {
    this.generation += 1;
    clearTimeout(this.timer);
    clearInterval(this.pingTimer);
    this.transportInUse?.close();
    this.transportInUse = null;
  }

  #lost(error) {
    this.#disconnect();
    const kind = error.kind ?? "gone";
    if (kind === "token" || kind === "refused") return this.on.state("stopped", { kind, message: error.message });
    const pause = Math.max(error.wait ?? 0, Math.min(MAX_RETRY_DELAY_S, FIRST_RETRY_DELAY_S * 2 ** this.attempt));
    this.attempt += 1;
    this.on.state("waiting", { kind, message: error.message, until: Date.now() + pause * 1000 });
    this.timer = setTimeout(() => this.#connect(), pause * 1000);
  }

  /** Does not wait for the next try. */
  retry() {
    if (!this.transportInUse && this.selection) this.#connect();
  }

  /** Another choice, now and after every reconnection. */
  choose(selection) {
    if (!this.selection) return;
    this.selection = { source: this.selection.source, ...selection };
    this.sendMessage({ kind: "choose", ...selection });
  }

  send(timestamp) {
    this.transportInUse?.send(timestamp);
  }

  sendMessage(message) {
    this.transportInUse?.sendMessage(message);
  }

  close() {
    this.#disconnect();
    this.selection = null;
  }
}
