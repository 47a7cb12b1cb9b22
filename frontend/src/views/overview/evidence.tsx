/** Series that show what was found, with the threshold as a line and a mark where it began. */
import { useMemo } from 'preact/hooks';
import { StepLines } from '../../charts/lines/StepLines';
import { formatCount } from '../../charts/numbers';
import { pageTheme } from '../../charts/theme';
import type { Insets } from '../../charts/types';
import type { Consequence } from '../../data/findings';
import { activations } from '../../state/activations';
import { layers } from '../../state/derived';
import { skips } from '../../state/scaling';
import { metrics } from '../../state/store';
import { Figure } from '../figure';
import { severityOf } from '../marks';
import { colour, hover, onSelect, records, stepSelection, steps } from '../page';
import { say } from '../readout';
import { runToken } from '../swatch';
import { sentence } from '../words';
import { curveOf, type EvidenceChart, levelsOf, scaleOf } from './evidence-curve';

const INSETS: Insets = { left: 48, right: 12, top: 12, bottom: 24 };
const NAMED: Insets = { ...INSETS, right: 112 };

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
    <Figure title={title} caption="evidence" class="evidence">
      {(exportRef) => (
        <StepLines
          title={title}
          series={curves}
          scale={scale}
          steps={steps}
          hover={hover}
          selection={stepSelection.value}
          records={records.value}
          onSelect={onSelect}
          onReadout={say}
          levels={levels}
          marks={marks}
          skips={skips.value}
          spikes
          insets={curves.length > 1 ? NAMED : INSETS}
          exportRef={exportRef}
        />
      )}
    </Figure>
  );
}

/** Whether a label begins with the name of a layer, an activation or a metric, which stays as it is written. */
function isNamed(label: string): boolean {
  const names = [...layers.value, ...activations.value, ...(metrics.value.value ?? [])];
  return names.some(({ name }) => name !== '' && label.startsWith(name));
}
