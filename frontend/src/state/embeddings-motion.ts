/** Points on their way from one step to the next. */
import type { Points } from '../data/embeddings';

/** Where the points come from, where they go, and how far they are. */
export interface Motion {
  readonly from: Float32Array;
  readonly to: Float32Array;
  readonly mix: number;
}

/** Whether the points of one picture can move to where they are in the other. */
export function canMove(from: Points, to: Points): boolean {
  return from.set === to.set && from.count === to.count && from.dims === to.dims;
}

/** Where points are in the midst of a motion. A point that is nowhere at one end stands at the other. */
export function positionsAt({ from, to, mix }: Motion): Float32Array {
  if (mix >= 1 || from === to) return to;
  if (mix <= 0) return from;
  return Float32Array.from(to, (end, index) => {
    const start = from[index]!;
    if (Number.isNaN(start)) return end;
    return Number.isNaN(end) ? start : start + (end - start) * mix;
  });
}

/** Slow at both ends; from 0 to 1. */
export function eased(share: number): number {
  const at = Math.min(1, Math.max(0, share));
  return at * at * (3 - 2 * at);
}
