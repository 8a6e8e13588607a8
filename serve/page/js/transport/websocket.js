// WebSocket transport: frames to and from the server as JPEG, for networks where WebRTC fails. A binary
// message is the timestamp (4 bytes, big endian) and the file; a text message is JSON.

import { STRIP_HEIGHT_PX } from "../media/timestamp.js";
import { ServerError, streamUrl, toSentence } from "./api.js";

const JPEG_QUALITY = 0.9;
const ERROR_KINDS = { 1008: "refused", 4429: "full" }; // by the server's close code

export class WebSocketTransport {
  name = "WebSocket";

  /** Connects. Throws ServerError. The arguments are those of WebRTCTransport.open. */
  static async open(selection, canvas, _video, on) {
    const transport = new WebSocketTransport();
    transport.canvas = canvas;
    transport.socket = new WebSocket(streamUrl());
    transport.socket.binaryType = "arraybuffer";
    await new Promise((resolve, reject) => {
      transport.socket.onopen = resolve;
      transport.socket.onclose = (event) => reject(toServerError(event));
    });
    transport.socket.onmessage = ({ data }) => transport.#receive(data, on);
    transport.socket.onclose = (event) =>
      transport.socket && on.closed(ERROR_KINDS[event.code] && toServerError(event));
    transport.sendMessage(selection);
    return transport;
  }

  async #receive(data, on) {
    if (typeof data === "string") return on.message(JSON.parse(data));
    const timestamp = new DataView(data).getUint32(0);
    const image = await createImageBitmap(new Blob([new Uint8Array(data, 4)]));
    if (!this.socket) return image.close();
    return on.frame(image, image.width, image.height + STRIP_HEIGHT_PX, timestamp); // the receiver closes it
  }

  /** Sends what is on the canvas, without the timestamp strip. */
  send(timestamp) {
    const { width, height } = this.canvas;
    this.copy ??= new OffscreenCanvas(0, 0);
    if (this.copy.width !== width || this.copy.height !== height - STRIP_HEIGHT_PX)
      Object.assign(this.copy, { width, height: height - STRIP_HEIGHT_PX });
    this.copy.getContext("2d", { alpha: false, willReadFrequently: true }).drawImage(this.canvas, 0, 0);
    this.copy.convertToBlob({ type: "image/jpeg", quality: JPEG_QUALITY }).then(async (blob) => {
      const header = new DataView(new ArrayBuffer(4));
      header.setUint32(0, timestamp);
      const message = await new Blob([header, blob]).arrayBuffer();
      if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(message);
    });
  }

  sendMessage(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  close() {
    const { socket } = this;
    this.socket = null;
    socket.close();
  }
}

function toServerError({ code, reason }) {
  return new ServerError(ERROR_KINDS[code] ?? "gone", toSentence(reason));
}
