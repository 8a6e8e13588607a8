// Timestamp strip: a number drawn into the frame, which survives scaling and video coding, so that a
// translated frame can be matched to its original. serve/streaming/timestamp.py reads and writes the
// same strip.
//
// The strip lies below the image. Its left three quarters are two rows of twelve cells: black, white,
// 20 bits, 2 checksum bits. Its right quarter is a chart of four colors, from which the server detects
// the YUV conversion of the browser. The number is the capture time in milliseconds, modulo 2^20
// (17 minutes).

export const STRIP_HEIGHT_PX = 16;
export const TIMESTAMP_PERIOD_MS = 1 << 20;
const COLUMNS = 12;
const COLOR_CHART = ["#c04040", "#40c040", "#4040c0", "#404040"]; // two above, two below
const BITS = 20;
const PROBE_CELL_PX = 4; // side of a cell in the copy that is read
const MIN_CONTRAST = 32; // between the white and the black cell

const numberWidth = (width) => Math.floor((width * 3) / 4);

const checksum = (bits) => bits.reduce((sum, bit) => sum + bit, 0) % 4;

function encodeCells(number) {
  const bits = Array.from({ length: BITS }, (_, i) => (number >> i) & 1);
  const check = checksum(bits);
  return [0, 1, ...bits, check & 1, check >> 1];
}

/** Draws `number` and the color chart into the lowest STRIP_HEIGHT_PX rows of a 2D context's canvas. */
export function writeTimestamp(context, number) {
  const { width: fullWidth, height } = context.canvas;
  const width = numberWidth(fullWidth);
  const rowTop = (row) => height - STRIP_HEIGHT_PX + (row * STRIP_HEIGHT_PX) / 2;
  encodeCells(number).forEach((bit, i) => {
    const column = i % COLUMNS;
    const left = Math.round((column * width) / COLUMNS);
    const right = Math.round(((column + 1) * width) / COLUMNS);
    context.fillStyle = bit ? "#fff" : "#000";
    context.fillRect(left, rowTop(i < COLUMNS ? 0 : 1), right - left, STRIP_HEIGHT_PX / 2);
  });
  const half = Math.floor((fullWidth - width) / 2);
  COLOR_CHART.forEach((color, i) => {
    const column = i % 2;
    const patchWidth = fullWidth - width - (column ? half : 0);
    context.fillStyle = color;
    context.fillRect(width + column * half, rowTop(i < 2 ? 0 : 1), patchWidth, STRIP_HEIGHT_PX / 2);
  });
}

const PROBE_WIDTH = COLUMNS * PROBE_CELL_PX;
const PROBE_HEIGHT = 2 * PROBE_CELL_PX;
const probe = new OffscreenCanvas(PROBE_WIDTH, PROBE_HEIGHT).getContext("2d", { willReadFrequently: true });

/** Returns the number in the strip of an image of width x height pixels, or null without a valid strip. */
export function readTimestamp(image, width, height) {
  const top = height - STRIP_HEIGHT_PX;
  probe.drawImage(image, 0, top, numberWidth(width), STRIP_HEIGHT_PX, 0, 0, PROBE_WIDTH, PROBE_HEIGHT);
  const { data } = probe.getImageData(0, 0, PROBE_WIDTH, PROBE_HEIGHT);
  // Average the inner 2x2 pixels of each 4x4 cell, which the neighboring cells do not blur into.
  const cellValue = (i) => {
    const x = (i % COLUMNS) * PROBE_CELL_PX + 1;
    const y = (i < COLUMNS ? 0 : PROBE_CELL_PX) + 1;
    let sum = 0;
    for (const dy of [0, 1]) for (const dx of [0, 1]) sum += data[((y + dy) * PROBE_WIDTH + x + dx) * 4 + 1];
    return sum / 4;
  };
  const [black, white] = [cellValue(0), cellValue(1)];
  if (white - black < MIN_CONTRAST) return null;
  const cells = Array.from({ length: BITS + 2 }, (_, i) => (cellValue(i + 2) > (black + white) / 2 ? 1 : 0));
  const bits = cells.slice(0, BITS);
  const number = bits.reduce((sum, bit, i) => sum + bit * 2 ** i, 0);
  return checksum(bits) === cells[BITS] + 2 * cells[BITS + 1] ? number : null;
}
