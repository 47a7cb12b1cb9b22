/** The numbers behind a profile. */

import { MARK_WORDS } from '../marks';
import type { Entry, LayerLabel, Matrix, Table } from '../types';
import { reading } from './values';

export function profileTable(
  layers: readonly LayerLabel[],
  mean: Matrix,
  max: Matrix,
  records: { readonly mean: number; readonly max: number },
  shown: readonly number[] = layers.map((_, row) => row),
): Table {
  const entry = (matrix: Matrix, row: number, record: number): Entry => {
    const one = reading(matrix, row, record);
    return one === 'zero' ? 0 : typeof one === 'number' ? one : MARK_WORDS[one];
  };
  return {
    columns: ['layer', 'mean |g|', 'max |g|'],
    rowCount: shown.length,
    row(index) {
      const row = shown[index]!;
      return [layers[row]!.name, entry(mean, row, records.mean), entry(max, row, records.max)];
    },
  };
}
