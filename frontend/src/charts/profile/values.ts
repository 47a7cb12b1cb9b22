/** What a profile shows of each visible row at one step. */

import { shownRecord } from '../cadence';
import { nearestRecord, placeColumns } from '../columns';
import { ceilDecade, floorDecade, logScale, type ValueScale } from '../scale';
import { type LayoutRow, type Matrix, STATE } from '../types';

/** A value above zero, or why there is none. */
export type Reading = number | 'zero' | 'nonfinite' | 'no gradient' | 'not recorded';

/** More decades than this say nothing. */
const DECADES = 16;

/** Index of the record at `step`, or -1 where there is none near it. */
export function recordOf({ steps, spans }: Matrix, step: number): number {
  const columns = placeColumns(steps, spans);
  const record = nearestRecord(columns, step);
  return record >= 0 && step >= columns.left[record]! - 0.5 && step <= columns.right[record]! + 0.5
    ? record
    : -1;
}

export function reading(matrix: Matrix, row: number, record: number): Reading {
  if (record < 0) return 'not recorded';
  const cell = row * matrix.steps.length + shownRecord(matrix, row, record);
  const state = matrix.states[cell];
  if (state === STATE.notRecorded) return 'not recorded';
  if (state === STATE.noGradient) return 'no gradient';
  const value = matrix.values[cell]!;
  if (state === STATE.nonfinite || !Number.isFinite(value)) return 'nonfinite';
  return value > 0 ? value : 'zero';
}

/** As `reading`, for what may have either sign: zero is a number like others. */
export function signedReading(matrix: Matrix, row: number, record: number): Reading {
  const one = reading(matrix, row, record);
  if (one !== 'zero') return one;
  return matrix.values[row * matrix.steps.length + shownRecord(matrix, row, record)]!;
}

const ORDER: readonly Reading[] = ['nonfinite', 'zero', 'no gradient', 'not recorded'];

/** Of a folded scope the worst member: NaN, then zero, then the lowest (or the highest) number. */
export function rowReading(matrix: Matrix, row: LayoutRow, record: number, end: 'low' | 'high'): Reading {
  const readings = row.members.map((member) => reading(matrix, member, record));
  const numbers = readings.filter((one) => typeof one === 'number');
  const loud = ORDER.slice(0, 2).find((one) => readings.includes(one));
  if (loud) return loud;
  if (numbers.length) return end === 'low' ? Math.min(...numbers) : Math.max(...numbers);
  return ORDER.find((one) => readings.includes(one)) ?? 'not recorded';
}

/** A log axis for all steps of `matrices`, so that it stands still while the step moves. */
export function profileScale(matrices: readonly Matrix[]): ValueScale {
  let low = Number.POSITIVE_INFINITY;
  let high = 0;
  for (const { values } of matrices)
    for (const value of values)
      if (value > 0 && value < Number.POSITIVE_INFINITY) {
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
  if (!(low <= high)) return logScale([1e-9, 1]);
  const top = ceilDecade(high * 1.0001);
  const bottom = Math.max(floorDecade(low * 0.9999), top / 10 ** DECADES);
  return logScale([bottom, top]);
}

/** [R] Median of each row's numbers before `step`; NaN where it has none. */
export function medianBefore(matrix: Matrix, step: number): Float32Array {
  const before = matrix.steps.findIndex((one) => one >= step);
  const records = before < 0 ? matrix.steps.length : before;
  return Float32Array.from({ length: matrix.rows }, (_, row) => {
    const numbers: number[] = [];
    for (let record = 0; record < records; record++) {
      const one = reading(matrix, row, record);
      if (typeof one === 'number') numbers.push(one);
    }
    return numbers.sort((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
  });
}
