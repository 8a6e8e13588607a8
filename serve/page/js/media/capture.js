// Snapshots (PNG) and recordings (MP4 or WebM) of the view, saved as downloads.

const MIME_TYPES = ["video/mp4;codecs=avc1.42E01F", "video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm"];
const RECORDING_FPS = 30;
const RECORDING_BITS_PER_SECOND = 6_000_000;
const CHUNK_MS = 1000; // so that a long recording is not one buffer
const REVOKE_AFTER_MS = 60_000;

function download(blob, extension) {
  const anchor = document.createElement("a");
  const time = new Date().toISOString().slice(0, 19).replaceAll(":", ".").replace("T", " ");
  anchor.href = URL.createObjectURL(blob);
  anchor.download = `cgt ${time}.${extension}`;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), REVOKE_AFTER_MS);
}

/** Saves a canvas as PNG. */
export function saveSnapshot(canvas) {
  canvas.toBlob((blob) => blob && download(blob, "png"), "image/png");
}

export class Recorder {
  static get isSupported() {
    return "MediaRecorder" in window && MIME_TYPES.some((type) => MediaRecorder.isTypeSupported(type));
  }

  /** onChange(recording) is called at every start and stop. */
  constructor(canvas, onChange) {
    Object.assign(this, { canvas, onChange });
  }

  get recording() {
    return this.recorder?.state === "recording";
  }

  start() {
    const mimeType = MIME_TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    const stream = this.canvas.captureStream(RECORDING_FPS);
    const recorder = new MediaRecorder(stream, { mimeType, videoBitsPerSecond: RECORDING_BITS_PER_SECOND });
    const chunks = [];
    recorder.ondataavailable = ({ data }) => chunks.push(data);
    recorder.onstop = () => {
      stream.getTracks().forEach((track) => track.stop());
      download(new Blob(chunks, { type: mimeType }), mimeType.includes("mp4") ? "mp4" : "webm");
      this.onChange(false);
    };
    recorder.start(CHUNK_MS);
    this.recorder = recorder;
    this.onChange(true);
  }

  /** Ends the recording and saves it. */
  stop() {
    if (this.recording) this.recorder.stop();
  }
}
