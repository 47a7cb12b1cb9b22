/** The numbers behind the heatmap. */

import type { Columns } from '../columns';
import { type Entry, type LayerLabel, type Matrix, STATE, type Table } from '../types';

const STATE_WORDS: Record<number, string> = {
  [STATE.number]: '',
  [STATE.notRecorded]: 'not recorded',
  [STATE.noGradient]: 'no gradient',
  [STATE.nonfinite]: 'non-finite',
  [STATE.neverRun]: 'never run',
};

/** One line a record, one column a layer: a number, or in words why there is none. */
export function heatmapTable(
  layers: readonly LayerLabel[],
  matrix: Matrix,
  columns: Columns,
  shown: readonly number[] = layers.map((_, row) => row),
): Table {
  const length = columns.length;
  return {
    columns: ['first step', 'last step', ...shown.map((row) => layers[row]!.name)],
    rowCount: length,
    row: (record) => [
      columns.first[record]!,
      columns.last[record]!,
      ...shown.map((row) => entry(matrix, row * length + record)),
    ],
  };
}

function entry({ values, states }: Matrix, cell: number): Entry {
  const state = states[cell]!;
  const value = values[cell]!;
  return state === STATE.number && Number.isFinite(value) ? value : STATE_WORDS[state] || 'non-finite';
}
