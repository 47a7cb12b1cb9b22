/** What points fill. */
import type { CloudData, Dims, Extent } from './types';

const NOWHERE: Extent = { centre: [0, 0, 0], radius: 1 };

/** The extent of the finite rows of some [N, dims] positions; null where there are none. */
export function extentOf(positions: Float32Array, dims: Dims): Extent | null {
  const low = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  const high = low.map((bound) => -bound);
  for (let at = 0; at + dims <= positions.length; at += dims) {
    if (!isSomewhere(positions, at, dims)) continue;
    for (let axis = 0; axis < dims; axis++) {
      const value = positions[at + axis]!;
      if (value < low[axis]!) low[axis] = value;
      if (value > high[axis]!) high[axis] = value;
    }
  }
  if (low[0]! > high[0]!) return null;
  const middle = (axis: number) => (axis < dims ? (low[axis]! + high[axis]!) / 2 : 0);
  const centre = [middle(0), middle(1), middle(2)] as const;
  const radius =
    dims === 2 ? Math.max(high[0]! - low[0]!, high[1]! - low[1]!) / 2 : farthest(positions, centre);
  // A single point fills nothing.
  return { centre, radius: radius || 1 };
}

/** Whether the row that begins at `at` is finite. */
export function isSomewhere(positions: Float32Array, at: number, dims: Dims): boolean {
  for (let axis = 0; axis < dims; axis++) if (!Number.isFinite(positions[at + axis]!)) return false;
  return true;
}

/** What fits into the picture between two records, so that it moves as smoothly as the points. */
export function extentBetween(from: Extent | null, to: Extent | null, mix: number): Extent {
  const [first, last] = [from ?? to ?? NOWHERE, to ?? from ?? NOWHERE];
  const between = (a: number, b: number) => a + (b - a) * mix;
  const axis = (index: 0 | 1 | 2) => between(first.centre[index], last.centre[index]);
  return { centre: [axis(0), axis(1), axis(2)], radius: between(first.radius, last.radius) };
}

/** How many points the arrays agree on: while a set changes, some may be of the set before. */
export function pointCount({ from, to, dims, colour, shown, selected }: CloudData): number {
  const places = Math.floor(Math.min(from.length, to.length) / dims);
  return Math.min(places, Math.floor(colour.length / 4), shown.length, selected.length);
}

function farthest(positions: Float32Array, [x, y, z]: Extent['centre']): number {
  let most = 0;
  for (let at = 0; at + 3 <= positions.length; at += 3) {
    const [dx, dy, dz] = [positions[at]! - x, positions[at + 1]! - y, positions[at + 2]! - z];
    const square = dx * dx + dy * dy + dz * dz;
    // An infinite one is nowhere, as one with NaN.
    if (square > most && square < Number.POSITIVE_INFINITY) most = square;
  }
  return Math.sqrt(most);
}
