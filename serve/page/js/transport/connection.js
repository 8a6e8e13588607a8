// Connection to the server: WebRTC first, then a WebSocket if WebRTC fails. A lost connection is opened
// again, with growing delays.

import { ServerError } from "./api.js";
import { WebRTCTransport } from "./webrtc.js";
import { WebSocketTransport } from "./websocket.js";

const FIRST_RETRY_DELAY_S = 1; // doubles with each attempt
const MAX_RETRY_DELAY_S = 30;
const PING_INTERVAL_MS = 1000;
const SILENCE_TIMEOUT_MS = 5000; // without a reply to the pings the connection counts as lost
const FINAL_ERRORS = ["token", "full", "refused"]; // no other transport can help

export class Connection {
  /** canvas: frames to send. video: element that plays the received track.
   *  on: {frame, message, state(name, details)}; state names: connecting, open, waiting, stopped. */
  constructor(canvas, video, on) {
    Object.assign(this, { canvas, video, on });
    const websocketOnly = new URLSearchParams(location.search).has("websocket");
    this.transports = websocketOnly ? [WebSocketTransport] : [WebRTCTransport, WebSocketTransport];
    this.attempt = 0;
    this.generation = 0; // callbacks of an earlier generation are ignored
  }

  /** Name of the transport in use; empty without a connection. */
  get transport() {
    return this.transportInUse?.name ?? "";
  }

  /** Connects, and reconnects until close(). selection: {source, model, size, precision}. */
  async open(selection) {
    this.close();
    this.selection = selection;
    this.attempt = 0;
    await this.#connect();
  }

  async #connect() {
    const generation = ++this.generation;
    clearTimeout(this.retryTimer);
    this.on.state("connecting");
    const canvas = this.selection.source === "server" ? null : this.canvas;
    const on = {
      frame: (...frame) => generation === this.generation && this.on.frame(...frame),
      message: (message) => {
        this.lastHeard = performance.now();
        if (generation === this.generation) this.on.message(message);
      },
      closed: (error) => generation === this.generation && this.#onLost(error ?? new ServerError("gone", "")),
    };
    for (const Transport of this.transports) {
      try {
        const transport = await Transport.open(this.selection, canvas, this.video, on);
        if (generation !== this.generation) return transport.close();
        this.transportInUse = transport;
        this.attempt = 0;
        this.#startPings();
        return this.on.state("open", { transport: transport.name });
      } catch (error) {
        if (generation !== this.generation) return;
        const isLast = Transport === this.transports.at(-1);
        const isFinal = error instanceof ServerError && FINAL_ERRORS.includes(error.kind);
        if (isLast || isFinal) return this.#onLost(error);
      }
    }
  }

  /** Requests the server's clock every second, and detects a server that no longer replies. */
  #startPings() {
    this.lastHeard = performance.now();
    const ping = () => {
      if (performance.now() - this.lastHeard > SILENCE_TIMEOUT_MS) return this.#onLost(new ServerError("gone", ""));
      return this.sendMessage({ kind: "clock", page: performance.now() });
    };
    this.pingTimer = setInterval(ping, PING_INTERVAL_MS);
    ping();
  }

  #disconnect() {
    this.generation += 1;
    clearTimeout(this.retryTimer);
    clearInterval(this.pingTimer);
    this.transportInUse?.close();
    this.transportInUse = null;
  }

  #onLost(error) {
    this.#disconnect();
    const kind = error.kind ?? "gone";
    if (kind === "token" || kind === "refused") return this.on.state("stopped", { kind, message: error.message });
    const backoff = Math.min(MAX_RETRY_DELAY_S, FIRST_RETRY_DELAY_S * 2 ** this.attempt);
    const delayMs = 1000 * Math.max(error.retryAfter ?? 0, backoff);
    this.attempt += 1;
    this.on.state("waiting", { kind, message: error.message, until: Date.now() + delayMs });
    this.retryTimer = setTimeout(() => this.#connect(), delayMs);
  }

  /** Connects now instead of at the end of the delay. */
  retry() {
    if (!this.transportInUse && this.selection) this.#connect();
  }

  /** Changes model, size or precision, now and for every later connection. */
  select(selection) {
    if (!this.selection) return;
    this.selection = { source: this.selection.source, ...selection };
    this.sendMessage({ kind: "choose", ...selection });
  }

  /** Sends what is on the canvas. */
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
