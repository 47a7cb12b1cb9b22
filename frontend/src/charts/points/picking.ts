/** Finding a point by the code that it was drawn with. */

/** Pixels around the pointer that are drawn to find a point: large points have their middle far from it. Odd, to have a middle. */
export const SIDE = 65;
/** CSS pixels that a point may be away from the pointer. */
const REACH = 5;

interface Screen {
  /** In CSS pixels. */
  readonly width: number;
  readonly height: number;
  /** Pixels to one of CSS. */
  readonly ratio: number;
}

/** From the clip coordinates of the picture to those of the SIDE × SIDE pixels around a place, [16] column by column. */
export function around({ width, height, ratio }: Screen, x: number, y: number): readonly number[] {
  const [wide, high] = [(width * ratio) / SIDE, (height * ratio) / SIDE];
  const right = ((2 * x) / width - 1) * wide;
  const up = (1 - (2 * y) / height) * high;
  return [wide, 0, 0, 0, 0, high, 0, 0, 0, 0, 1, 0, -right, -up, 0, 1];
}

/** The point whose code is nearest to the middle of [SIDE, SIDE, 4] bytes; null where none is within reach. */
export function nearestCode(pixels: Uint8Array, ratio: number): number | null {
  let found = 0;
  let least = REACH * ratio;
  const middle = (SIDE - 1) / 2;
  for (let at = 0; at < SIDE * SIDE; at++) {
    const code = pixels[4 * at]! | (pixels[4 * at + 1]! << 8) | (pixels[4 * at + 2]! << 16);
    const away = Math.hypot((at % SIDE) - middle, Math.floor(at / SIDE) - middle);
    if (code === 0 || away > least) continue;
    found = code;
    least = away;
  }
  return found === 0 ? null : found - 1;
}
