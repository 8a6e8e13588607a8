// WebRTC transport: frames to and from the server as video tracks, messages over a data channel.

import { forEachFrame } from "../media/video_frames.js";
import { readTimestamp } from "../media/timestamp.js";
import { sendOffer } from "./api.js";

const CONNECT_TIMEOUT_MS = 5000; // then the WebSocket is used
const ICE_GATHERING_TIMEOUT_MS = 1000;
const MAX_BITRATE = 4_000_000; // bits/s; the default of browsers is too low

export class WebRTCTransport {
  name = "WebRTC";

  /** Connects. Throws ServerError if the server rejects the offer, Error if no connection is established.
   *  selection: {source, model, size, precision}. canvas: frames to send; null to receive only.
   *  on: {frame(image, width, height, timestamp), message(object), closed(error)}. */
  static async open(selection, canvas, video, on) {
    if (!("RTCPeerConnection" in window)) throw new Error("this browser does not support WebRTC");
    const transport = new WebRTCTransport();
    try {
      await transport.#connect(selection, canvas, video, on);
    } catch (error) {
      transport.close();
      throw error;
    }
    return transport;
  }

  async #connect(selection, canvas, video, on) {
    const peer = (this.peer = new RTCPeerConnection());
    this.channel = peer.createDataChannel("control");
    this.channel.onmessage = ({ data }) => on.message(JSON.parse(data));
    const transceiver = canvas ? this.#addCanvasTrack(canvas) : peer.addTransceiver("video", { direction: "recvonly" });
    preferVP8(transceiver);
    peer.ontrack = ({ receiver, track }) => {
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0; // show frames at once
      this.#receive(track, video, on.frame);
    };
    await peer.setLocalDescription(await peer.createOffer());
    await waitForIceGathering(peer);
    const { sdp, type } = peer.localDescription;
    await peer.setRemoteDescription(await sendOffer({ sdp, type, ...selection }));
    await waitForOpen(this.channel, peer);
    if (canvas) await raiseMaxBitrate(transceiver.sender);
    const onClosed = () => {
      if (this.peer) on.closed();
    };
    this.channel.onclose = onClosed;
    peer.onconnectionstatechange = () => {
      if (["failed", "disconnected", "closed"].includes(peer.connectionState)) onClosed();
    };
  }

  #addCanvasTrack(canvas) {
    const [track] = canvas.captureStream(0).getVideoTracks();
    track.contentHint = "motion";
    this.track = track;
    return this.peer.addTransceiver(track, { direction: "sendrecv" });
  }

  #receive(track, video, onFrame) {
    video.srcObject = new MediaStream([track]);
    video.play().catch(() => {}); // AbortError if the connection closes first
    this.video = video;
    this.stopFrames = forEachFrame(video, () => {
      const { videoWidth: width, videoHeight: height } = video;
      const timestamp = readTimestamp(video, width, height);
      if (timestamp !== null) onFrame(video, width, height, timestamp);
    });
  }

  /** Sends what is on the canvas. */
  send() {
    this.track.requestFrame();
  }

  sendMessage(message) {
    if (this.channel.readyState === "open") this.channel.send(JSON.stringify(message));
  }

  close() {
    this.stopFrames?.();
    this.track?.stop();
    if (this.video) this.video.srcObject = null;
    const { peer } = this;
    this.peer = null;
    peer?.close();
  }
}

// VP8 costs less in software than H.264, and every browser supports it.
function preferVP8(transceiver) {
  const codecs = RTCRtpReceiver.getCapabilities("video")?.codecs ?? [];
  const isVP8 = ({ mimeType }) => mimeType === "video/VP8";
  if (!codecs.some(isVP8)) return;
  transceiver.setCodecPreferences?.([...codecs.filter(isVP8), ...codecs.filter((codec) => !isVP8(codec))]);
}

async function raiseMaxBitrate(sender) {
  const parameters = sender.getParameters();
  parameters.degradationPreference = "maintain-resolution";
  for (const encoding of parameters.encodings ?? []) encoding.maxBitrate = MAX_BITRATE;
  await sender.setParameters(parameters).catch(() => {}); // older browsers keep their default
}

/** Waits for the ICE candidates, which travel in the offer, but not longer than the timeout. */
function waitForIceGathering(peer) {
  return new Promise((resolve) => {
    setTimeout(resolve, ICE_GATHERING_TIMEOUT_MS);
    peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && resolve();
  });
}

function waitForOpen(channel, peer) {
  return new Promise((resolve, reject) => {
    const fail = () => reject(new Error("no connection"));
    const timer = setTimeout(fail, CONNECT_TIMEOUT_MS);
    channel.onopen = () => (clearTimeout(timer), resolve());
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === "failed") (clearTimeout(timer), fail());
    };
  });
}
