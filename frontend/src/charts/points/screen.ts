/** Where points stand in the picture, and which of them a lasso holds. */
import type { Box } from './camera';
import { pointCount } from './extent';
import type { CloudData, Extent } from './types';

/** Points of the picture, in CSS pixels: x, y, x, y, … */
export type Path = readonly number[];

/** Where a point is seen, from the upper left corner; null where it is nowhere or behind the eye. */
export type Locate = (index: number) => readonly [x: number, y: number] | null;

/** As the shader places them, see `shaders.ts`. */
export function locator(data: CloudData, extent: Extent, matrix: Float32Array, box: Box): Locate {
  const { from, to, dims, mix } = data;
  const [x, y, z] = extent.centre;
  const place = (index: number, axis: number, middle: number) => {
    const at = index * dims + axis;
    const value = mix <= 0 ? from[at]! : mix >= 1 ? to[at]! : from[at]! + (to[at]! - from[at]!) * mix;
    return (value - middle) / extent.radius;
  };
  return (index) => {
    const [right, up, back] = [place(index, 0, x), place(index, 1, y), dims === 3 ? place(index, 2, z) : 0];
    const clip = (row: number) =>
      matrix[row]! * right + matrix[4 + row]! * up + matrix[8 + row]! * back + matrix[12 + row]!;
    const depth = clip(3);
    // What is not a number fails each comparison.
    const seen = depth > 0 && Math.abs(clip(2)) <= depth;
    const left = ((clip(0) / depth + 1) / 2) * box.width;
    return seen && Number.isFinite(left) ? [left, ((1 - clip(1) / depth) / 2) * box.height] : null;
  };
}

/** The shown points inside `path`, in increasing order. */
export function lassoed(path: Path, data: CloudData, locate: Locate): Uint32Array {
  const held: number[] = [];
  const isHeld = insideOf(path);
  for (let index = 0; index < pointCount(data); index++) {
    const place = data.shown[index] ? locate(index) : null;
    if (place && isHeld(place[0], place[1])) held.push(index);
  }
  return Uint32Array.from(held);
}

/** Whether a place is inside a path, which closes by itself; where it crosses itself, by the even-odd rule. */
export function insideOf(path: Path): (x: number, y: number) => boolean {
  const [left, right] = boundsOf(path, 0);
  const [top, bottom] = boundsOf(path, 1);
  return (x, y) => {
    if (x < left || x > right || y < top || y > bottom) return false;
    let inside = false;
    for (let at = 0, last = path.length - 2; at < path.length; last = at, at += 2) {
      const [x1, y1, x2, y2] = [path[last]!, path[last + 1]!, path[at]!, path[at + 1]!];
      if (y1 > y !== y2 > y && x < x1 + ((y - y1) / (y2 - y1)) * (x2 - x1)) inside = !inside;
    }
    return inside;
  };
}

function boundsOf(path: Path, axis: 0 | 1): readonly [low: number, high: number] {
  const values = path.filter((_, at) => at % 2 === axis);
  return [Math.min(...values), Math.max(...values)];
}
