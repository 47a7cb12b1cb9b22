/** How magnitudes are distributed at the step, against the start: those of a layer's or parameter's gradient, or of an activation. */
import { useSignal } from '@preact/signals';
import { Distribution as Chart } from '../charts/distribution/Distribution';
import { formatCount } from '../charts/numbers';
import { address, getBins } from '../data/client';
import type { BinSeries } from '../data/types';
import { step } from '../state/derived';
import { recordAt } from '../state/steps';
import { aboutRun, catalogue } from '../state/store';
import { DataNotice } from './data-notice';
import { Figure } from './figure';
import { say } from './readout';
import { useFollow } from './use-follow';

export interface DistributionProps {
  readonly kind: 'layers' | 'parameters' | 'activations';
  readonly row: number;
  readonly name: string;
}

export function Distribution({ kind, row, name }: DistributionProps) {
  const wanted = useSignal({ kind, row });
  if (wanted.value.kind !== kind || wanted.value.row !== row) wanted.value = { kind, row };
  const bins = useFollow(() => {
    const layout = catalogue.value.value?.bins;
    if (layout === undefined) return null;
    const { kind, row } = wanted.value;
    const which =
      kind === 'layers' ? { layer: row } : kind === 'parameters' ? { parameter: row } : { activation: row };
    return aboutRun(
      (run) => address('bins', { run, ...which }),
      (run, signal) => getBins(run, which, layout.count, signal),
    );
  });
  const layout = catalogue.value.value?.bins;
  const { value, error, loading } = bins.value;
  if (layout === undefined) return null;
  const now = value === null ? null : countsAt(value, step.value ?? Number.POSITIVE_INFINITY, layout.count);
  const start = value === null ? null : countsAt(value, 0, layout.count);
  const title = kind === 'activations' ? 'Magnitudes of the values' : 'Gradient magnitudes';
  return (
    <Figure title={title} caption={now === null ? '' : `at step ${formatCount(now.step)}`}>
      {(exportRef) => (
        <>
          <DataNotice error={error} />
          <Chart
            title={`${title} of ${name}`}
            bins={layout}
            counts={now?.counts ?? []}
            empty={loading ? '' : 'No distribution was recorded'}
            onReadout={say}
            exportRef={exportRef}
            {...(start !== null && now !== null && start.step < now.step
              ? { reference: { counts: start.counts, label: `step ${formatCount(start.step)}` } }
              : {})}
          />
        </>
      )}
    </Figure>
  );
}

/** The counts of the record that holds `step` or of the last one before it; the first one where there is none. */
export function countsAt({ steps, counts }: BinSeries, at: number, bins: number) {
  if (steps.length === 0) return null;
  const next = recordAt(steps, at);
  const record = steps[next]! > at ? Math.max(0, next - 1) : next;
  return { step: steps[record]!, counts: counts.subarray(record * bins, (record + 1) * bins) };
}
