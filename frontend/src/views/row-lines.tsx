/** One statistic of one layer or parameter over the steps. */
import { useSignal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { pageTheme } from '../charts/theme';
import type { Series as Curve, Level } from '../charts/types';
import type { Resource } from '../data/resource';
import type { RowKind, Series } from '../data/types';
import { aboutSeries, run } from '../state/store';
import { rowCurve } from './curves';
import { LinesFigure } from './lines-figure';
import { colour, labelOf } from './page';
import { spreadOf } from './spread';
import { useFollow } from './use-follow';

export interface RowLinesProps {
  readonly statistic: string;
  readonly kind: RowKind;
  readonly row: number;
  readonly name: string;
  /** The same statistic of all rows, whose spread stands behind. */
  readonly others?: Series | null;
  readonly levels?: readonly Level[];
  /** In the place of the statistic's label, which then follows it. */
  readonly heading?: string;
}

export function RowLines(props: RowLinesProps) {
  const { statistic, name, others = null, levels, heading } = props;
  const { label, scale } = labelOf(statistic);
  const { value, error, loading } = useRow(props);
  const theme = pageTheme().value;
  const curves = useMemo(() => makeCurves(value, others), [value, others, theme]);
  return (
    <LinesFigure
      title={heading ?? label}
      statistic={statistic}
      caption={heading === undefined ? undefined : label}
      name={`${label} of ${name}`}
      error={error}
      series={curves}
      scale={scale}
      empty={loading ? '' : 'Nothing recorded'}
      {...(levels ? { levels } : {})}
    />
  );
}

/** The row with its band, followed while the props change. */
function useRow({ statistic, kind, row }: RowLinesProps): Resource<Series> {
  const wanted = useSignal({ statistic, kind, row });
  const { value } = wanted;
  if (value.statistic !== statistic || value.kind !== kind || value.row !== row)
    wanted.value = { statistic, kind, row };
  const series = useFollow(() => {
    const { statistic, kind, row } = wanted.value;
    const recorded = run.value.value?.statistics.includes(statistic);
    return recorded ? aboutSeries({ statistic, rows: kind, row, band: true }) : null;
  });
  return series.value;
}

/** The row itself in front of the spread of the others. */
function makeCurves(row: Series | null, others: Series | null): Curve[] {
  if (row === null) return [];
  const index = row.rows[0] ?? -1;
  const behind = others?.kind === row.kind && others.statistic === row.statistic && others.rows.length > 3;
  if (!behind) return [rowCurve(row, 0, '')];
  const { low, middle, high } = spreadOf(others, others.rows.indexOf(index));
  const { steps, spans } = others;
  const color = colour('text-3');
  return [
    { label: 'others', color, steps, spans, values: middle, low, high, states: new Uint8Array(steps.length) },
    rowCurve(row, 0, 'this one'),
  ];
}
