/** The numbers behind a profile. */

import { MARK_WORDS } from '../marks';
import type { Entry, LayerLabel, Matrix, Table } from '../types';
import type { ProfileKind } from './kinds';

export function profileTable(
  layers: readonly LayerLabel[],
  kind: ProfileKind,
  mean: Matrix,
  reach: Matrix,
  records: { readonly mean: number; readonly reach: number },
  shown: readonly number[] = layers.map((_, row) => row),
): Table {
  const entry = (matrix: Matrix, row: number, record: number): Entry => {
    const one = kind.read(matrix, row, record);
    return one === 'zero' ? 0 : typeof one === 'number' ? one : MARK_WORDS[one];
  };
  return {
    columns: ['layer', ...kind.names],
    rowCount: shown.length,
    row(index) {
      const row = shown[index]!;
      return [layers[row]!.name, entry(mean, row, records.mean), entry(reach, row, records.reach)];
    },
  };
}
