// What is shown, as files: a snapshot, a recording.

const KINDS = ["video/mp4;codecs=avc1.42E01F", "video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm"];

function save(blob, suffix) {
  const link = document.createElement("a");
  const when = new Date().toISOString().slice(0, 19).replaceAll(":", ".").replace("T", " ");
  link.href = URL.createObjectURL(blob);
  link.download = `cgt ${when}.${suffix}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A PNG of the canvas. */
export function snapshot(canvas) {
  canvas.toBlob((blob) => blob && save(blob, "png"), "image/png");
}

export class Recorder {
  static get possible() {
    return "MediaRecorder" in window && KINDS.some((kind) => MediaRecorder.isTypeSupported(kind));
  }

  /** changed(recording): called at every start and stop. */
  constructor(canvas, changed) {
    Object.assign(this, { canvas, changed });
  }

  get recording() {
    return this.recorder?.state === "recording";
  }

  start() {
    const mimeType = KINDS.find((kind) => MediaRecorder.isTypeSupported(kind));
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
