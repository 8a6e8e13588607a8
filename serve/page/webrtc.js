// Pictures to and from the server as video over WebRTC, with a data channel for words.

import { webrtc } from "./api.js";
import { eachFrame } from "./frames.js";
import { readStamp } from "./stamp.js";

const PATIENCE = 5000; // milliseconds to connect; then the WebSocket is tried
const BITRATE = 2_500_000; // bits/s; browsers otherwise give small pictures too little

export class WebRTC {
  name = "WebRTC";

  /** Throws ServerError where the server refuses, Error where no connection comes about.
   *  asked: {source, model, size, precision}; canvas: what is sent, null to only watch;
   *  on: {frame(image, height, width, stamp), message(object), closed()}. */
  static async open(asked, canvas, video, on) {
    if (!("RTCPeerConnection" in window)) throw new Error("this browser has no WebRTC");
    const link = new WebRTC();
    try {
      await link.#connect(asked, canvas, video, on);
    } catch (error) {
      link.close();
      throw error;
    }
    return link;
  }

  async #connect(asked, canvas, video, on) {
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
    await gathered(peer);
    const { sdp, type } = peer.localDescription;
    await peer.setRemoteDescription(await webrtc({ sdp, type, ...asked }));
    await opened(this.channel, peer);
    if (canvas) await generous(transceiver.sender);
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
    this.stop = eachFrame(video, () => {
      const { videoWidth: width, videoHeight: height } = video;
      const stamp = readStamp(video, width, height);
      if (stamp !== null) onframe(video, height, width, stamp);
    });
  }

  /** Sends what is on the canvas now. */
  send() {
    this.track.requestFrame();
  }

  say(message) {
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

async function generous(sender) {
  const parameters = sender.getParameters();
  parameters.degradationPreference = "maintain-resolution";
  for (const encoding of parameters.encodings ?? []) encoding.maxBitrate = BITRATE;
  await sender.setParameters(parameters).catch(() => {}); // older browsers keep their own idea
}

/** Candidates are sent within the offer: wait for them, not for long. */
function gathered(peer) {
  return new Promise((resolve) => {
    setTimeout(resolve, 1000);
    peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && resolve();
  });
}

function opened(channel, peer) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no connection")), PATIENCE);
    channel.onopen = () => (clearTimeout(timer), resolve());
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === "failed") (clearTimeout(timer), reject(new Error("no connection")));
    };
  });
}
