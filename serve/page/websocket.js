// Pictures to and from the server as JPEG over a WebSocket: where WebRTC cannot connect.
// A binary message is the stamp (4 bytes, big end first) and the file; a text message is JSON.

import { STRIP } from "./stamp.js";
import { ServerError, sentence, streamUrl } from "./api.js";

const QUALITY = 0.9;
const CODES = { 1008: "refused", 4429: "full" }; // what the server closes with when it refuses

export class Socket {
  name = "WebSocket";

  /** Throws ServerError. Arguments as for WebRTC.open. */
  static async open(asked, canvas, _video, on) {
    const link = new Socket();
    link.canvas = canvas;
    link.socket = new WebSocket(streamUrl());
    link.socket.binaryType = "arraybuffer";
    await new Promise((resolve, reject) => {
      link.socket.onopen = resolve;
      link.socket.onclose = (event) => reject(refusal(event));
    });
    link.socket.onmessage = ({ data }) => link.#receive(data, on);
    link.socket.onclose = (event) => link.socket && on.closed(CODES[event.code] && refusal(event));
    link.say(asked);
    return link;
  }

  async #receive(data, on) {
    if (typeof data === "string") return on.message(JSON.parse(data));
    const stamp = new DataView(data).getUint32(0);
    const image = await createImageBitmap(new Blob([new Uint8Array(data, 4)]));
    if (!this.socket) return image.close();
    return on.frame(image, image.height + STRIP, image.width, stamp); // its to close
  }

  /** Sends what is on the canvas now, without its strip. */
  send(stamp) {
    const { width, height } = this.canvas;
    this.copy ??= new OffscreenCanvas(0, 0);
    if (this.copy.width !== width || this.copy.height !== height - STRIP)
      Object.assign(this.copy, { width, height: height - STRIP });
    this.copy.getContext("2d", { alpha: false, willReadFrequently: true }).drawImage(this.canvas, 0, 0);
    this.copy.convertToBlob({ type: "image/jpeg", quality: QUALITY }).then(async (blob) => {
      const head = new DataView(new ArrayBuffer(4));
      head.setUint32(0, stamp);
      const message = await new Blob([head, blob]).arrayBuffer();
      if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(message);
    });
  }

  say(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  close() {
    const { socket } = this;
    this.socket = null;
    socket.close();
  }
}

function refusal({ code, reason }) {
  return new ServerError(CODES[code] ?? "gone", sentence(reason));
}
