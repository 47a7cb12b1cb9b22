/** The numbers behind lines. */

import type { Entry, Series, Table } from '../types';

/** One line a record and series: series may have records at different steps. */
export function linesTable(series: readonly Series[]): Table {
  const banded = series.some(({ low, high }) => low && high);
  const starts: number[] = [];
  let rowCount = 0;
  for (const { steps } of series) {
    starts.push(rowCount);
    rowCount += steps.length;
  }
  const number = (values: ArrayLike<number> | undefined, record: number): Entry =>
    values === undefined ? null : Number.isFinite(values[record]!) ? values[record]! : 'not a number';
  return {
    columns: ['series', 'first step', 'last step', 'value', ...(banded ? ['lowest', 'highest'] : [])],
    rowCount,
    row(index) {
      const which = starts.findLastIndex((start) => start <= index);
      const one = series[which]!;
      const record = index - starts[which]!;
      const last = one.steps[record]!;
      const first = last - Math.max(1, one.spans[record] || 1) + 1;
      const band = banded ? [number(one.low, record), number(one.high, record)] : [];
      return [one.label, first, last, number(one.values, record), ...band];
    },
  };
}
