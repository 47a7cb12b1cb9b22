/** What the colours mean, with a pointer at the value in the selected cell. */

import { useMemo } from 'preact/hooks';
import { ColorLegend } from '../charts/ColorLegend';
import { placeColumns, recordAt } from '../charts/columns';
import type { ValueScale } from '../charts/scale';
import type { Series } from '../data/types';
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
  const step = recordedStep.value;
  const record = columns === null || step === null ? -1 : recordAt(columns, step);
  const value =
    series === null || row === null || record < 0 ? null : series.values[row * series.steps.length + record]!;
  return (
    <div class="legend">
      <ColorLegend title={labelOf(statistic).label} scale={scale} value={value} />
    </div>
  );
}
