// A number drawn into the picture itself, so that a translated frame says which original it belongs
// to, whatever lies between. Below the picture lies a strip. Its left three quarters are two rows of
// twelve cells: black, white, 20 bits, 2 of checksum. Its right quarter is a chart of four colours, by
// which the server finds out which YUV the browser makes of RGB. serve/timestamp.py is the other half.
// The number is the time of capture in milliseconds, modulo 2^20 (17 minutes).

export const STRIP_HEIGHT_PX = 16; // pixels high
export const TIMESTAMP_PERIOD_MS = 1 << 20;
const COLUMNS = 12;
const COLOR_CHART = ["#c04040", "#40c040", "#4040c0", "#404040"]; // two above, two below
const BITS = 20;

const split = (width) => Math.floor((width * 3) / 4);

function cellsOf(number) {
  const bits = Array.from({ length: BITS }, (_, i) => (number >> i) & 1);
  const check = bits.reduce((sum, bit) => sum + bit, 0) % 4;
  return [0, 1, ...bits, check & 1, check >> 1];
}

/** Draws `number` into the lowest STRIP_HEIGHT_PX rows of a 2D context's canvas. */
export function writeTimestamp(context, number) {
  const { width: whole, height } = context.canvas;
  const width = split(whole);
  cellsOf(number).forEach((bit, i) => {
    const column = i % COLUMNS;
    const left = Math.round((column * width) / COLUMNS);
    const right = Math.round(((column + 1) * width) / COLUMNS);
    const top = height - STRIP_HEIGHT_PX + (i < COLUMNS ? 0 : STRIP_HEIGHT_PX / 2);
    context.fillStyle = bit ? "#fff" : "#000";
    context.fillRect(left, top, right - left, STRIP_HEIGHT_PX / 2);
  });
  const half = Math.floor((whole - width) / 2);
  COLOR_CHART.forEach((color, i) => {
    context.fillStyle = color;
    context.fillRect(width + (i % 2) * half, height - STRIP_HEIGHT_PX + (i < 2 ? 0 : STRIP_HEIGHT_PX / 2), whole - width - (i % 2 ? half : 0), STRIP_HEIGHT_PX / 2);
  });
}

const probe = new OffscreenCanvas(COLUMNS * 4, 8).getContext("2d", { willReadFrequently: true });

/** The number in the lowest rows of an image of width x height pixels, or null. */
export function readTimestamp(image, width, height) {
  probe.drawImage(image, 0, height - STRIP_HEIGHT_PX, split(width), STRIP_HEIGHT_PX, 0, 0, COLUMNS * 4, 8);
  const { data } = probe.getImageData(0, 0, COLUMNS * 4, 8);
  // The middle of each cell of 4x4, clear of its neighbours.
  const value = (i) => {
    const x = (i % COLUMNS) * 4 + 1;
    const y = (i < COLUMNS ? 0 : 4) + 1;
    let sum = 0;
    for (const dy of [0, 1]) for (const dx of [0, 1]) sum += data[((y + dy) * COLUMNS * 4 + x + dx) * 4 + 1];
    return sum / 4;
  };
  const [black, white] = [value(0), value(1)];
  if (white - black < 32) return null;
  const bits = Array.from({ length: BITS + 2 }, (_, i) => (value(i + 2) > (black + white) / 2 ? 1 : 0));
  const number = bits.slice(0, BITS).reduce((sum, bit, i) => sum + bit * 2 ** i, 0);
  const check = bits.slice(0, BITS).reduce((sum, bit) => sum + bit, 0) % 4;
  return check === bits[BITS] + 2 * bits[BITS + 1] ? number : null;
}
