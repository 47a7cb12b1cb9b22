/** Records on the axis of steps. A record ends at its step and covers `span` steps. */
import type { Domain } from '../charts/types';

/** Index of the record that holds `step`, or of the nearest one after it; the last one where there is none. -1 without records. */
export function recordAt(steps: ArrayLike<number>, step: number): number {
  let low = 0;
  let high = steps.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle]! < step) low = middle + 1;
    else high = middle;
  }
  return Math.min(low, steps.length - 1);
}

/** The recorded step `count` records further; from between two records the first move is to the neighbour. */
export function stepBy(steps: ArrayLike<number>, step: number, count: number): number {
  if (steps.length === 0) return step;
  const record = recordAt(steps, step);
  const between = steps[record]! > step && count > 0 ? 1 : 0;
  const target = Math.min(steps.length - 1, Math.max(0, record + count - between));
  return steps[target]!;
}

/** A stretch of steps around `step` in which single records can be told apart, or null where all can. */
export function zoomAround(steps: ArrayLike<number>, step: number, records: number): Domain | null {
  if (steps.length <= 4 * records) return null;
  const record = recordAt(steps, step);
  const first = Math.max(0, Math.min(record - records, steps.length - 2 * records - 1));
  return [steps[first]!, steps[Math.min(steps.length - 1, first + 2 * records)]!];
}

/** The last of `steps` that is not after `step`, or the first; the newest where `step` is null; null without steps. */
export function stepAtOrBefore(steps: readonly number[], step: number | null): number | null {
  if (steps.length === 0) return null;
  if (step === null) return steps.at(-1)!;
  return steps.findLast((one) => one <= step) ?? steps[0]!;
}
