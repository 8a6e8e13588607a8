// What is shown, as files: a snapshot, a recording.

const MIME_TYPES = ["video/mp4;codecs=avc1.42E01F", "video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm"];

function save(blob, suffix) {
  const anchor = document.createElement("a");
  const when = new Date().toISOString().slice(0, 19).replaceAll(":", ".").replace("T", " ");
  anchor.href = URL.createObjectURL(blob);
  anchor.download = `cgt ${when}.${suffix}`;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 60_000);
}

/** A PNG of the canvas. */
export function snapshot(canvas) {
  canvas.toBlob((blob) => blob && save(blob, "png"), "image/png");
}

export class Recorder {
  static get isSupported() {
    return "MediaRecorder" in window && MIME_TYPES.some((kind) => MediaRecorder.isTypeSupported(kind));
  }

  /** changed(recording): called at every start and stop. */
  constructor(canvas, changed) {
    Object.assign(this, { canvas, changed });
  }

  get recording() {
    return this.recorder?.state === "recording";
  }

  start() {
    const mimeType = MIME_TYPES.find((kind) => MediaRecorder.isTypeSupported(kind));
    const stream = this.canvas.captureStream(30);
    const recorder = new MediaRecorder(stream, { mimeType, videoBitsPerSecond: 6_000_000 });
    const parts = [];
    recorder.ondataavailable = ({ data }) => parts.push(data);
    recorder.onstop = () => {
      stream.getTracks().forEach((track) => track.stop());
      save(new Blob(parts, { type: mimeType }), mimeType.includes("mp4") ? "mp4" : "webm");
      this.changed(false);
    };
    recorder.start(1000); // in pieces: a long recording is not one buffer
    this.recorder = recorder;
    this.changed(true);
  }

  /** Saves what was recorded. */
  stop() {
    if (this.recording) this.recorder.stop();
  }
}
