/** What the colours mean, with a pointer at the value in the selected cell. */

import { useMemo } from 'preact/hooks';
import { ColorLegend, marksOf } from '../charts/ColorLegend';
import { placeColumns, recordAt } from '../charts/columns';
import type { MarkKind } from '../charts/marks';
import type { ValueScale } from '../charts/scale';
import { type Series, STATE } from '../data/types';
import { recordedStep } from '../state/derived';
import { labelOf } from './page';

export interface LegendProps {
  readonly statistic: string;
  readonly scale: ValueScale;
  readonly series: Series | null;
  readonly row: number | null;
}

export function Legend({ statistic, scale, series, row }: LegendProps) {
  const columns = useMemo(() => series && placeColumns(series.steps, series.spans), [series]);
  const marks = useMemo(() => marksIn(series, scale), [series, scale]);
  const step = recordedStep.value;
  const record = columns === null || step === null ? -1 : recordAt(columns, step);
  const value =
    series === null || row === null || record < 0 ? null : series.values[row * series.steps.length + record]!;
  return (
    <div class="legend">
      <ColorLegend title={labelOf(statistic).label} scale={scale} value={value} marks={marks} />
    </div>
  );
}

const KINDS: Readonly<Record<number, MarkKind>> = {
  [STATE.missing]: 'not recorded',
  [STATE.noGradient]: 'no gradient',
  [STATE.nonFinite]: 'nonfinite',
};

/** The marks that stand somewhere in a series, in the order of the legend. */
export function marksIn(series: Series | null, scale: ValueScale): MarkKind[] {
  const found = new Set<MarkKind | undefined>(series && hasGap(series) ? ['not recorded'] : []);
  series?.states.forEach((state, cell) => {
    found.add(state === STATE.number && series.values[cell] === 0 ? 'zero' : KINDS[state]);
  });
  return marksOf(scale).filter((kind) => found.has(kind));
}

function hasGap({ steps, spans }: Series): boolean {
  const { length, left, right } = placeColumns(steps, spans);
  for (let record = 1; record < length; record++) if (left[record] !== right[record - 1]) return true;
  return false;
}
