/** Series that show what was found, with the threshold as a line and a mark where it began. */
import { useMemo } from 'preact/hooks';
import { formatCount } from '../../charts/numbers';
import { pageTheme } from '../../charts/theme';
import type { Consequence } from '../../data/findings';
import { activations } from '../../state/activations';
import { layers } from '../../state/derived';
import { metrics } from '../../state/store';
import { LinesFigure } from '../lines-figure';
import { severityOf } from '../marks';
import { colour, records } from '../page';
import { runToken } from '../swatch';
import { sentence } from '../words';
import { curveOf, type EvidenceChart, levelsOf, scaleOf } from './evidence-curve';

export interface EvidenceProps {
  readonly finding: Pick<Consequence, 'first_step' | 'severity'>;
  readonly chart: EvidenceChart;
}

export function Evidence({ finding: { first_step, severity }, chart }: EvidenceProps) {
  const theme = pageTheme().value;
  const lines = useMemo(() => chart.curves.map(({ line }) => line), [chart]);
  const curves = useMemo(
    () =>
      chart.curves.map(({ name, line }, place) => ({
        ...curveOf(line, name),
        color: colour(runToken(place)),
      })),
    [chart, theme],
  );
  const scale = useMemo(() => scaleOf(lines), [lines]);
  const levels = useMemo(() => levelsOf(lines[0]!, scale), [lines, scale]);
  const marks = useMemo(
    () =>
      first_step === null
        ? []
        : [{ step: first_step, label: formatCount(first_step), severity: severityOf(severity) }],
    [first_step, severity],
  );
  const title = isNamed(chart.title) ? chart.title : sentence(chart.title);
  return (
    <LinesFigure
      title={title}
      caption="evidence"
      class="evidence"
      series={curves}
      scale={scale}
      records={records.value}
      levels={levels}
      marks={marks}
      spikes
    />
  );
}

/** Whether a label begins with the name of a layer, an activation or a metric, which stays as it is written. */
function isNamed(label: string): boolean {
  const names = [...layers.value, ...activations.value, ...(metrics.value.value ?? [])];
  return names.some(({ name }) => name !== '' && label.startsWith(name));
}
