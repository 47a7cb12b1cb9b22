/** A series that shows what was found, with the threshold as a line and a mark where it began. */
import { useMemo } from 'preact/hooks';
import { StepLines } from '../../charts/lines/StepLines';
import { formatCount } from '../../charts/numbers';
import type { Insets } from '../../charts/types';
import type { Consequence, EvidenceLine } from '../../data/findings';
import { activations } from '../../state/activations';
import { layers } from '../../state/derived';
import { skips } from '../../state/scaling';
import { Figure } from '../figure';
import { severityOf } from '../marks';
import { hover, onSelect, records, stepSelection, steps } from '../page';
import { say } from '../readout';
import { sentence } from '../words';
import { curveOf, levelsOf, scaleOf } from './evidence-curve';

const INSETS: Insets = { left: 48, right: 12, top: 12, bottom: 24 };

export interface EvidenceProps {
  readonly finding: Consequence;
  readonly line: EvidenceLine;
}

export function Evidence({ finding: { first_step, severity }, line }: EvidenceProps) {
  const curves = useMemo(() => [curveOf(line)], [line]);
  const levels = useMemo(() => levelsOf(line), [line]);
  const scale = useMemo(() => scaleOf(line), [line]);
  const marks = useMemo(
    () =>
      first_step === null
        ? []
        : [{ step: first_step, label: formatCount(first_step), severity: severityOf(severity) }],
    [first_step, severity],
  );
  const title = isNamed(line.label) ? line.label : sentence(line.label);
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
          insets={INSETS}
          exportRef={exportRef}
        />
      )}
    </Figure>
  );
}

/** Whether a label begins with the name of a layer or an activation, which stays as it is written. */
function isNamed(label: string): boolean {
  const names = [...layers.value, ...activations.value];
  return names.some(({ name }) => name !== '' && label.startsWith(name));
}
