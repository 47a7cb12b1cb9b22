/** The numbers behind life lines. */

import type { Entry, Table } from '../types';
import type { UnitLife } from './life';

/** One line a unit and record, the units in the order of the picture; `names` are those of the states. */
export function livesTable(lives: readonly UnitLife[], names: readonly string[]): Table {
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
