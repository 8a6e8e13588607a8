// View of the original and the translation: one canvas, which is also what is recorded and saved.

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
  setMode(mode) {
    this.mode = mode;
    this.#draw();
  }

  /** fraction: share of the width, from the left, that shows the original. */
  moveSplit(fraction) {
    this.split = Math.min(1, Math.max(0, fraction));
    this.frame.style.setProperty("--split", `${this.split * 100}%`);
    this.#draw();
  }

  /** original, translated: {image, y, width, height}, the rows of `image` to show. aspect: width / height
   *  on the screen. Returns what was shown before, which the caller may release, or null. */
  show(original, translated, aspect) {
    const previous = this.shown;
    this.shown = { original, translated, aspect };
    this.#draw();
    return previous;
  }

  /** Releases what is shown. */
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
    this.#drawImage(translated, both && !stacked ? width : 0, both && stacked ? height : 0);
    if (both) this.#drawImage(original, 0, 0);
    if (this.mode !== "split") return;
    this.context.save();
    this.context.beginPath();
    this.context.rect(0, 0, Math.round(width * this.split), height);
    this.context.clip();
    this.#drawImage(original, 0, 0);
    this.context.restore();
  }

  #drawImage({ image, y, width, height }, left, top) {
    const { translated } = this.shown; // both are drawn in the size of the translation
    this.context.drawImage(image, 0, y, width, height, left, top, translated.width, translated.height);
  }

  #resize(width, height, stacked) {
    const { canvas, frame } = this;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pixelAspect = (this.shown.aspect * this.shown.translated.height) / this.shown.translated.width;
    const layout = [(pixelAspect * width) / height, this.mode, stacked];
    if (`${layout}` === this.layout) return; // changing styles thirty times a second is expensive
    this.layout = `${layout}`;
    frame.style.setProperty("--aspect", layout[0]);
    frame.dataset.view = this.mode;
    frame.dataset.stacked = stacked;
  }
}
