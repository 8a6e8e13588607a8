// Video sources of the page: a camera, or a video file that was picked or dropped. The server gets
// only the frames that the page sends; it sees neither the device nor the file.

import { forEachFrame } from "./video_frames.js";

/** Error that names the notice to show (`kind`). */
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

/** Plays into a <video> and calls onFrame(video, capturedAt, missed) for each frame. capturedAt is in
 *  milliseconds of performance.now(); missed is the number of frames that the browser skipped. */
class VideoElementSource {
  constructor(video, onFrame) {
    this.video = video;
    let presented = null;
    this.stopFrames = forEachFrame(video, ({ now, captureTime, presentedFrames }) => {
      const missed = presented === null || !presentedFrames ? 0 : presentedFrames - presented - 1;
      presented = presentedFrames ?? null;
      onFrame(video, captureTime ?? now, missed);
    });
  }

  /** [width, height] */
  get size() {
    return [this.video.videoWidth, this.video.videoHeight];
  }

  stop() {
    this.stopFrames();
    this.video.pause();
  }
}

export class Camera extends VideoElementSource {
  /** Opens a camera. Calls onEnded() when the camera is disconnected. Throws SourceError. */
  static async open(video, deviceId, onFrame, onEnded) {
    if (!navigator.mediaDevices?.getUserMedia) throw new SourceError("camera-insecure");
    const device = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "user" };
    const format = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { ...device, ...format } });
    } catch (error) {
      throw new SourceError(CAMERA_ERRORS[error.name] ?? "camera-busy", error.message);
    }
    video.srcObject = stream;
    await video.play();
    const camera = new Camera(video, onFrame);
    camera.stream = stream;
    stream.getVideoTracks()[0].addEventListener("ended", onEnded);
    return camera;
  }

  get deviceId() {
    return this.stream.getVideoTracks()[0].getSettings().deviceId;
  }

  /** Returns [{deviceId, label}] of all cameras. */
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
  /** Opens a video file and plays it in a loop. Throws SourceError if the browser cannot play it. */
  static async open(video, file, onFrame) {
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
    const source = new VideoFile(video, onFrame);
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

/** Decodes an image file and applies its EXIF orientation. Throws SourceError. */
export async function readImage(file) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new SourceError("file-unreadable", file.name);
  }
}
