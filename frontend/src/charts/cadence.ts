/** Rows that are recorded less often than others: a GAN's discriminator every second step, say.
 *
 * Between two records of a row that are no farther apart than usual for that row nothing is missing: the step was
 * just not observed, and the earlier record stands for it. What is missing by the row's own measure stays a gap.
 */

import { distances, usualDistance } from './columns';
import { type Matrix, STATE } from './types';

/** Records may be so much farther apart than usual: the pace of a schedule that keeps a budget varies. */
const TOLERANCE = 1.5;

/** For each row the record that each cell shows, or null where every cell shows its own. */
export type ShownRecords = readonly (Int32Array | null)[];

const known = new WeakMap<Matrix, ShownRecords>();

export function shownRecords(matrix: Matrix): ShownRecords {
  const found = known.get(matrix) ?? findShown(matrix);
  known.set(matrix, found);
  return found;
}

/** The record that a cell shows. */
export function shownRecord(matrix: Matrix, row: number, record: number): number {
  return shownRecords(matrix)[row]?.[record] ?? record;
}

function findShown(matrix: Matrix): ShownRecords {
  const length = matrix.steps.length;
  const shown: (Int32Array | null)[] = [];
  for (let row = 0; row < matrix.rows; row++) {
    // Rows of one model were recorded together, and stand side by side.
    const above = row > 0 && samePattern(matrix.states, row * length, length);
    shown.push(above ? shown[row - 1]! : shownInRow(matrix, row));
  }
  return shown;
}

/** Whether the row that begins at cell `begin` was recorded when the row above was. */
function samePattern(states: Uint8Array, begin: number, length: number): boolean {
  for (let cell = begin; cell < begin + length; cell++)
    if ((states[cell] === STATE.notRecorded) !== (states[cell - length] === STATE.notRecorded)) return false;
  return true;
}

function shownInRow({ states, steps, spans }: Matrix, row: number): Int32Array | null {
  const length = steps.length;
  const own: number[] = [];
  for (let record = 0; record < length; record++)
    if (states[row * length + record] !== STATE.notRecorded) own.push(record);
  if (own.length === length || own.length < 2) return null;
  const pick = (all: Float64Array) => Float64Array.from(own, (record) => all[record]!);
  const distance = distances(pick(steps), pick(spans));
  const shown = Int32Array.from({ length }, (_, record) => record);
  for (const [place, from] of own.entries()) {
    const next = own[place + 1] ?? length;
    const usual = usualDistance(distance, place + 1);
    const isLast = next === length;
    if (!isLast && distance[place + 1]! > TOLERANCE * usual) continue;
    for (let record = from + 1; record < next; record++)
      if (!isLast || steps[record]! - steps[from]! < usual) shown[record] = from;
  }
  return shown;
}
