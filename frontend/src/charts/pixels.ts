/** Records onto pixel columns, so that none vanishes when there are more records than pixels. */

import { CODE, COLORS, rank } from './codes';
import type { Columns } from './columns';
import type { Domain } from './types';

/** For each pixel column the records `from` to `to`, without the last; none where they are equal. */
export interface PixelColumns {
  readonly width: number;
  readonly from: Int32Array;
  readonly to: Int32Array;
}

/** Give every record that is inside `domain` the pixels that its column covers, and at least one. */
export function pixelColumns(columns: Columns, domain: Domain, width: number): PixelColumns {
  const from = new Int32Array(width);
  const to = new Int32Array(width);
  const scale = width / (domain[1] - domain[0] || 1);
  for (let record = 0; record < columns.length; record++) {
    const left = (columns.left[record]! - domain[0]) * scale;
    const right = (columns.right[record]! - domain[0]) * scale;
    if (right <= 0 || left >= width) continue;
    const begin = Math.min(width - 1, Math.max(0, Math.round(left)));
    const end = Math.min(width, Math.max(begin + 1, Math.round(right)));
    for (let pixel = begin; pixel < end; pixel++) {
      if (from[pixel] === to[pixel]) from[pixel] = record;
      to[pixel] = record + 1;
    }
  }
  return { width, from, to };
}

/** One code a pixel: the highest rank, and among numbers the one farthest from the row's `mean`. */
export function pixelCodes(row: Uint16Array, pixels: PixelColumns, mean: number, out: Uint16Array): void {
  const { width, from, to } = pixels;
  for (let pixel = 0; pixel < width; pixel++) {
    const begin = from[pixel]!;
    const end = to[pixel]!;
    if (end - begin === 1) out[pixel] = row[begin]!;
    else out[pixel] = begin === end ? CODE.missing : extreme(row, begin, end, mean);
  }
}

function extreme(row: Uint16Array, begin: number, end: number, mean: number): number {
  let chosen = row[begin]!;
  for (let record = begin + 1; record < end; record++) {
    const code = row[record]!;
    const difference = rank(code) - rank(chosen);
    const farther = code < COLORS && Math.abs(code - mean) > Math.abs(chosen - mean);
    if (difference > 0 || (difference === 0 && farther)) chosen = code;
  }
  return chosen;
}
