/** What the colours mean, with a pointer at the value in the selected cell. */

import { useMemo } from 'preact/hooks';
import { ColorLegend, marksOf } from '../charts/ColorLegend';
import { shownRecord } from '../charts/cadence';
import { CODE, COLORS, encode } from '../charts/codes';
import { type Columns, hasGap, placeColumns, recordAt } from '../charts/columns';
import type { MarkKind } from '../charts/marks';
import type { ValueScale } from '../charts/scale';
import type { Matrix } from '../charts/types';
import type { Series } from '../data/types';
import { recordedStep } from '../state/derived';
import { labelOf, toMatrix } from './page';

export interface LegendProps {
  readonly statistic: string;
  /** What the colours are of, where no statistic says it. */
  readonly title?: string;
  readonly scale: ValueScale;
  readonly series: Series | null;
  readonly row: number | null;
}

export function Legend({ statistic, title, scale, series, row }: LegendProps) {
  const matrix = series && toMatrix(series);
  const columns = useMemo(() => series && placeColumns(series.steps, series.spans), [series]);
  const marks = useMemo(() => (matrix && columns ? marksIn(matrix, columns, scale) : []), [matrix, scale]);
  const step = recordedStep.value;
  const record = columns === null || step === null ? -1 : recordAt(columns, step);
  const value = matrix === null || row === null || record < 0 ? null : cellValue(matrix, row, record);
  return (
    <div class="legend">
      <ColorLegend title={title ?? labelOf(statistic).label} scale={scale} value={value} marks={marks} />
    </div>
  );
}

function cellValue(matrix: Matrix, row: number, record: number): number {
  return matrix.values[row * matrix.steps.length + shownRecord(matrix, row, record)]!;
}

const KINDS: Readonly<Record<number, MarkKind>> = {
  [CODE.zero]: 'zero',
  [CODE.nonfinite]: 'nonfinite',
  [CODE.noGradient]: 'no gradient',
  [CODE.neverRun]: 'never run',
  [CODE.missing]: 'not recorded',
};

/** The marks that stand somewhere in the picture, in the order of the legend. */
export function marksIn(matrix: Matrix, columns: Columns, scale: ValueScale): MarkKind[] {
  const found = new Set<MarkKind | undefined>(hasGap(columns) ? ['not recorded'] : []);
  for (const code of encode(matrix, scale)) if (code >= COLORS) found.add(KINDS[code]);
  return marksOf(scale).filter((kind) => found.has(kind));
}
