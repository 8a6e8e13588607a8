// Where pictures come from in the browser: a camera, or a video that was picked or dropped.
// The server sees neither device nor file, only the pictures that are sent to it.

import { forEachFrame } from "./video_frames.js";

/** kind: which notice to show. */
export class SourceError extends Error {
  constructor(kind, message = "") {
    super(message);
    this.kind = kind;
  }
}

const CAMERA_ERRORS = {
  NotAllowedError: "camera-refused",
  SecurityError: "camera-refused",
  NotFoundError: "camera-missing",
  OverconstrainedError: "camera-missing",
  NotReadableError: "camera-busy",
  AbortError: "camera-busy",
};

/** Plays into a <video>; onframe(video, captured, missed) per frame, captured in milliseconds of
 *  performance.now, missed: how many frames the browser itself left out. */
class VideoElementSource {
  constructor(video, onframe) {
    this.video = video;
    let presented = null;
    this.stopFrames = forEachFrame(video, ({ now, captureTime, presentedFrames }) => {
      const missed = presented === null || !presentedFrames ? 0 : presentedFrames - presented - 1;
      presented = presentedFrames ?? null;
      onframe(video, captureTime ?? now, missed);
    });
  }

  get size() {
    return [this.video.videoHeight, this.video.videoWidth];
  }

  stop() {
    this.stopFrames();
    this.video.pause();
  }
}

export class Camera extends VideoElementSource {
  /** Throws SourceError. ended() is called when the camera is taken away. */
  static async open(video, deviceId, onframe, ended) {
    if (!navigator.mediaDevices?.getUserMedia) throw new SourceError("camera-insecure");
    const wanted = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "user" };
    const sides = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { ...wanted, ...sides } });
    } catch (error) {
      throw new SourceError(CAMERA_ERRORS[error.name] ?? "camera-busy", error.message);
    }
    video.srcObject = stream;
    await video.play();
    const camera = new Camera(video, onframe);
    camera.stream = stream;
    stream.getVideoTracks()[0].addEventListener("ended", ended);
    return camera;
  }

  get deviceId() {
    return this.stream.getVideoTracks()[0].getSettings().deviceId;
  }

  /** [{deviceId, label}] of all cameras. */
  static async list() {
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices.filter(({ kind }) => kind === "videoinput");
  }

  stop() {
    super.stop();
    for (const track of this.stream.getTracks()) track.stop();
    this.video.srcObject = null;
  }
}

export class VideoFile extends VideoElementSource {
  /** Throws SourceError for a file that the browser cannot play. */
  static async open(video, file, onframe) {
    const url = URL.createObjectURL(file);
    video.srcObject = null;
    video.src = url;
    video.loop = true;
    try {
      await video.play();
    } catch (error) {
      URL.revokeObjectURL(url);
      video.removeAttribute("src");
      if (error.name === "AbortError") throw error;
      throw new SourceError("file-unreadable", file.name);
    }
    const source = new VideoFile(video, onframe);
    source.url = url;
    return source;
  }

  stop() {
    super.stop();
    this.video.removeAttribute("src");
    this.video.load();
    URL.revokeObjectURL(this.url);
  }
}

/** The picture of an image file, upright. Throws SourceError. */
export async function readImage(file) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new SourceError("file-unreadable", file.name);
  }
}
