// Pictures to and from the server as video over WebRTC, with a data channel for words.

import { webrtc } from "./api.js";
import { forEachFrame } from "../media/video_frames.js";
import { readTimestamp } from "../media/timestamp.js";

const CONNECT_TIMEOUT_MS = 5000; // milliseconds to connect; then the WebSocket is tried
const MAX_BITRATE = 2_500_000; // bits/s; browsers otherwise give small pictures too little

export class WebRTC {
  name = "WebRTC";

  /** Throws ServerError where the server refuses, Error where no connection comes about.
   *  selection: {source, model, size, precision}; canvas: what is sent, null to only watch;
   *  on: {frame(image, height, width, timestamp), message(object), closed()}. */
  static async open(selection, canvas, video, on) {
    if (!("RTCPeerConnection" in window)) throw new Error("this browser has no WebRTC");
    const transport = new WebRTC();
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
    const transceiver = canvas ? this.#sending(canvas) : peer.addTransceiver("video", { direction: "recvonly" });
    preferVP8(transceiver);
    peer.ontrack = ({ receiver, track }) => {
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0; // show at once
      this.#show(track, video, on.frame);
    };
    await peer.setLocalDescription(await peer.createOffer());
    await waitForIceGathering(peer);
    const { sdp, type } = peer.localDescription;
    await peer.setRemoteDescription(await webrtc({ sdp, type, ...selection }));
    await waitForOpen(this.channel, peer);
    if (canvas) await raiseMaxBitrate(transceiver.sender);
    const closed = () => {
      if (this.peer) on.closed();
    };
    this.channel.onclose = closed;
    peer.onconnectionstatechange = () => {
      if (["failed", "disconnected", "closed"].includes(peer.connectionState)) closed();
    };
  }

  #sending(canvas) {
    const [track] = canvas.captureStream(0).getVideoTracks();
    track.contentHint = "motion";
    this.track = track;
    return this.peer.addTransceiver(track, { direction: "sendrecv" });
  }

  #show(track, video, onframe) {
    video.srcObject = new MediaStream([track]);
    video.play().catch(() => {}); // an AbortError when closed meanwhile
    this.video = video;
    this.stop = forEachFrame(video, () => {
      const { videoWidth: width, videoHeight: height } = video;
      const timestamp = readTimestamp(video, width, height);
      if (timestamp !== null) onframe(video, height, width, timestamp);
    });
  }

  /** Sends what is on the canvas now. */
  send() {
    this.track.requestFrame();
  }

  sendMessage(message) {
    if (this.channel.readyState === "open") this.channel.send(JSON.stringify(message));
  }

  close() {
    this.stop?.();
    this.track?.stop();
    if (this.video) this.video.srcObject = null;
    const { peer } = this;
    this.peer = null;
    peer?.close();
  }
}

// Cheaper in software than H.264, and everyone has it.
function preferVP8(transceiver) {
  const codecs = RTCRtpReceiver.getCapabilities("video")?.codecs ?? [];
  const [first, rest] = [codecs.filter((c) => c.mimeType === "video/VP8"), codecs.filter((c) => c.mimeType !== "video/VP8")];
  if (first.length) transceiver.setCodecPreferences?.([...first, ...rest]);
}

async function raiseMaxBitrate(sender) {
  const parameters = sender.getParameters();
  parameters.degradationPreference = "maintain-resolution";
  for (const encoding of parameters.encodings ?? []) encoding.maxBitrate = MAX_BITRATE;
  await sender.setParameters(parameters).catch(() => {}); // older browsers keep their own idea
}

/** Candidates are sent within the offer: wait for them, not for long. */
function waitForIceGathering(peer) {
  return new Promise((resolve) => {
    setTimeout(resolve, 1000);
    peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && resolve();
  });
}

function waitForOpen(channel, peer) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no connection")), CONNECT_TIMEOUT_MS);
    channel.onopen = () => (clearTimeout(timer), resolve());
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === "failed") (clearTimeout(timer), reject(new Error("no connection")));
    };
  });
}
