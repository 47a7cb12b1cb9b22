/** The numbers behind life lines. */

import { formatCount } from '../numbers';
import type { Entry, Table } from '../types';
import type { UnitLife } from './life';

/**
 * One line a unit and record, the units in the order of the picture.
 *
 * @param names What the states are called, by their codes.
 * @param total Units that there are: those that were not fetched are missing, and the table says so.
 */
export function livesTable(lives: readonly UnitLife[], names: readonly string[], total: number): Table {
  const starts: number[] = [];
  let rowCount = 0;
  for (const { states } of lives) {
    starts.push(rowCount);
    rowCount += states.length;
  }
  const number = (value: number | undefined): Entry =>
    value !== undefined && Number.isFinite(value) ? value : null;
  return {
    columns: ['unit', 'first step', 'last step', 'state', 'fired', 'samples', 'mean', 'std', 'largest'],
    rowCount,
    ...(lives.length < total ? { note: `${formatCount(lives.length)} of ${formatCount(total)} units` } : {}),
    row(index) {
      const which = starts.findLastIndex((start) => start <= index);
      const life = lives[which]!;
      const record = index - starts[which]!;
      return [
        life.unit,
        life.columns.first[record]!,
        life.columns.last[record]!,
        names[life.states[record]!] ?? 'unknown',
        number(life.fired[record]),
        number(life.samples[record]),
        number(life.mean[record]),
        number(life.std[record]),
        number(life.largest[record]),
      ];
    },
  };
}
