/** The numbers behind lines. */

import { NO_SKIPS } from '../skips';
import type { Entry, Series, Skip, Table } from '../types';

/** One line a record and series: series may have records at different steps. Steps left out are another one at the end. */
export function linesTable(series: readonly Series[], skips: readonly Skip[] = NO_SKIPS): Table {
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
    rowCount: rowCount + skips.length,
    row(index) {
      const skip = skips[index - rowCount];
      if (skip) return ['skipped', skip.first, skip.last, skip.count, ...(banded ? [null, null] : [])];
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
