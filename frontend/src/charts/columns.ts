/** Where records stand on the axis of steps.
 *
 * A record of steps a..b owns the axis from a - 0.5 to b + 0.5. Between regular observations neighbours meet
 * halfway; only where the distance is far above the usual one, steps are missing and a gap stays open.
 */

import type { Domain } from './types';

export interface Columns {
  readonly length: number;
  /** [T] First step of each record. */
  readonly first: Float64Array;
  /** [T] Last step of each record. */
  readonly last: Float64Array;
  /** [T] Left edge of each column, in steps. */
  readonly left: Float64Array;
  /** [T] Right edge; equal to the next left one except before a gap. */
  readonly right: Float64Array;
}

/** A gap is a distance above this many usual ones. */
const GAP = 3;
/** How many distances on either side say what is usual. */
const NEIGHBOURS = 3;

export function placeColumns(steps: Float64Array, spans: Float64Array): Columns {
  const length = steps.length;
  const first = firstSteps(steps, spans);
  const left = new Float64Array(length);
  const right = new Float64Array(length);
  if (length === 0) return { length, first, last: steps, left, right };
  const distance = distances(steps, spans);
  left[0] = first[0]! - 0.5;
  right[length - 1] = steps[length - 1]! + 0.5;
  for (let index = 1; index < length; index++) {
    const usual = distance[index]! > GAP ? usualDistance(distance, index) : 1;
    const missing = distance[index]! > GAP * usual;
    const middle = (steps[index - 1]! + first[index]!) / 2;
    right[index - 1] = missing ? steps[index - 1]! + usual / 2 : middle;
    left[index] = missing ? first[index]! - usual / 2 : middle;
  }
  return { length, first, last: steps, left, right };
}

function firstSteps(steps: Float64Array, spans: Float64Array): Float64Array {
  return Float64Array.from(steps, (step, index) => step - Math.max(1, spans[index] || 1) + 1);
}

/** Steps from the record before to each record, 1 where they touch. */
export function distances(steps: Float64Array, spans: Float64Array): Float64Array {
  return firstSteps(steps, spans).map((first, index) => (index ? first - steps[index - 1]! : 1));
}

/** Whether there is a gap between any two records. */
export function hasGap({ length, left, right }: Columns): boolean {
  for (let record = 1; record < length; record++) if (left[record] !== right[record - 1]) return true;
  return false;
}

/** The larger of the median distances before and after, so that a changed interval is no gap. */
export function usualDistance(distance: Float64Array, index: number): number {
  const before = median(distance.subarray(Math.max(1, index - NEIGHBOURS), index));
  const after = median(distance.subarray(index + 1, index + 1 + NEIGHBOURS));
  const usual = Math.max(before, after);
  return usual > 0 ? Math.max(1, usual) : distance[index]!;
}

function median(values: Float64Array): number {
  return values.length ? values.slice().sort()[values.length >> 1]! : 0;
}

/** The steps that records cover, edge to edge; [0, 1] without any. */
export function stepExtent(steps: Float64Array, spans: Float64Array): Domain {
  const last = steps[steps.length - 1];
  return last === undefined ? [0, 1] : [steps[0]! - Math.max(1, spans[0] || 1) + 0.5, last + 0.5];
}

/** Index of the record whose column holds `step`, or -1 in a gap and outside. */
export function recordAt(columns: Columns, step: number): number {
  const index = lastLeftOf(columns.left, step);
  return index >= 0 && step < columns.right[index]! ? index : -1;
}

/** Index of the record nearest to `step`, or -1 without any. */
export function nearestRecord(columns: Columns, step: number): number {
  const index = lastLeftOf(columns.left, step);
  if (index < 0) return columns.length ? 0 : -1;
  const next = index + 1;
  if (next >= columns.length || step < columns.right[index]!) return index;
  return step - columns.right[index]! <= columns.left[next]! - step ? index : next;
}

/** Records whose columns touch the steps `from` to `to`: the first, and the one after the last. */
export function recordsBetween(columns: Columns, from: number, to: number): [first: number, end: number] {
  const first = Math.max(0, lastLeftOf(columns.left, from));
  return [
    columns.length && columns.right[first]! < from ? first + 1 : first,
    lastLeftOf(columns.left, to) + 1,
  ];
}

/** Index of the last edge at or left of `step`, or -1. */
function lastLeftOf(edges: Float64Array, step: number): number {
  let low = 0;
  let high = edges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (edges[middle]! <= step) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
