// The picture as it is shown, recorded and kept: one canvas.

const NARROW_SCREEN = matchMedia("(max-width: 40rem) and (orientation: portrait)");

export class View {
  constructor(canvas, frame) {
    this.canvas = canvas;
    this.frame = frame;
    this.context = canvas.getContext("2d", { alpha: false });
    this.mode = "split";
    this.split = 0.5;
    this.shown = null; // {original, translated, aspect}
    NARROW_SCREEN.addEventListener("change", () => this.#draw());
  }

  /** mode: split, side or translated. */
  set(mode) {
    this.mode = mode;
    this.#draw();
  }

  /** fraction: of the width, from the left, that shows the original. */
  moveSplit(fraction) {
    this.split = Math.min(1, Math.max(0, fraction));
    this.frame.style.setProperty("--split", `${this.split * 100}%`);
    this.#draw();
  }

  /** original, translated: {image, y, width, height}, the rows of an image that are the picture.
   *  aspect: width / height on the screen. Returns what was shown before, or null: it is free. */
  show(original, translated, aspect) {
    const before = this.shown;
    this.shown = { original, translated, aspect };
    this.#draw();
    return before;
  }

  /** Forgets what was shown. */
  clear() {
    this.shown = null;
  }

  #draw() {
    if (!this.shown) return;
    const { original, translated } = this.shown;
    const { width, height } = translated;
    const stacked = NARROW_SCREEN.matches;
    const both = this.mode === "side";
    this.#resize(width * (both && !stacked ? 2 : 1), height * (both && stacked ? 2 : 1), stacked);
    this.#put(translated, both && !stacked ? width : 0, both && stacked ? height : 0);
    if (both) this.#put(original, 0, 0);
    if (this.mode !== "split") return;
    this.context.save();
    this.context.beginPath();
    this.context.rect(0, 0, Math.round(width * this.split), height);
    this.context.clip();
    this.#put(original, 0, 0);
    this.context.restore();
  }

  #put({ image, y, width, height }, left, top) {
    const shown = this.shown.translated; // both are shown in its size
    this.context.drawImage(image, 0, y, width, height, left, top, shown.width, shown.height);
  }

  #resize(width, height, stacked) {
    const { canvas, frame } = this;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pixel = (this.shown.aspect * this.shown.translated.height) / this.shown.translated.width;
    const layout = [(pixel * width) / height, this.mode, stacked];
    if (`${layout}` === this.layout) return; // styles are costly at thirty times a second
    this.layout = `${layout}`;
    frame.style.setProperty("--aspect", layout[0]);
    frame.dataset.view = this.mode;
    frame.dataset.stacked = stacked;
  }
}
