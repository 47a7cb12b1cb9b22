/** A map as pixels of the screen. */
import type { MapPicture } from './types';

/**
 * The pixels of a map in a box of `width` × `height`. A larger box repeats values, a smaller one averages them.
 *
 * @param colours The pixel of each byte, [256].
 */
export function paintMap(map: MapPicture, colours: Uint32Array, width: number, height: number): Uint32Array {
  const out = new Uint32Array(width * height);
  if (map.width === 0 || map.height === 0) return out;
  const columns = edges(map.width, width);
  const rows = edges(map.height, height);
  for (let y = 0; y < height; y++) {
    const [top, bottom] = [rows[2 * y]!, rows[2 * y + 1]!];
    if (y > 0 && top === rows[2 * y - 2] && bottom === rows[2 * y - 1]) {
      out.copyWithin(y * width, (y - 1) * width, y * width);
      continue;
    }
    for (let x = 0; x < width; x++)
      out[y * width + x] = colours[average(map, columns[2 * x]!, columns[2 * x + 1]!, top, bottom)]!;
  }
  return out;
}

/** For each of `target` pixels the values from … to before … that it shows, [target, 2]. */
function edges(source: number, target: number): Uint32Array {
  const out = new Uint32Array(2 * target);
  for (let pixel = 0; pixel < target; pixel++) {
    const from = Math.min(source - 1, Math.floor((pixel * source) / target));
    out[2 * pixel] = from;
    out[2 * pixel + 1] = Math.max(from + 1, Math.floor(((pixel + 1) * source) / target));
  }
  if (target >= source) for (let pixel = 0; pixel < target; pixel++) out[2 * pixel + 1] = out[2 * pixel]! + 1;
  return out;
}

function average(
  { pixels, width }: MapPicture,
  left: number,
  right: number,
  top: number,
  bottom: number,
): number {
  if (right - left === 1 && bottom - top === 1) return pixels[top * width + left]!;
  let sum = 0;
  for (let row = top; row < bottom; row++)
    for (let column = left; column < right; column++) sum += pixels[row * width + column]!;
  return Math.round(sum / ((right - left) * (bottom - top)));
}
