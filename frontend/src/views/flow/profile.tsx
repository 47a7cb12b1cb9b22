/** Mean and largest gradient of every layer at the step, in the rows of the heatmap. */
import type { ReadonlySignal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { formatCount } from '../../charts/numbers';
import { LayerProfile } from '../../charts/profile/LayerProfile';
import { medianBefore } from '../../charts/profile/values';
import type { LayerLabel, RowFrame } from '../../charts/types';
import type { Series } from '../../data/types';
import { recordedStep } from '../../state/derived';
import { Figure } from '../figure';
import { hover, toMatrix } from '../page';
import { say } from '../readout';
import type { RowSelection } from './row-selection';

export interface ProfileProps {
  readonly mean: Series | null;
  readonly max: Series | null;
  readonly labels: readonly LayerLabel[];
  readonly row: RowSelection;
  readonly frame: ReadonlySignal<RowFrame | null>;
}

export function Profile({ mean, max, labels, row, frame }: ProfileProps) {
  const means = useMemo(() => mean && toMatrix(mean), [mean]);
  const maxima = useMemo(() => max && toMatrix(max), [max]);
  const usual = useMemo(() => means && medianBefore(means, Number.POSITIVE_INFINITY), [means]);
  const at = recordedStep.value;
  const fits =
    means !== null && maxima !== null && means.rows === labels.length && maxima.rows === labels.length;
  return (
    <Figure title="Each layer" caption={at === null ? '' : `at step ${formatCount(at)}`} class="flow-profile">
      {(exportRef) => (
        <>
          <ProfileKey />
          {fits && (
            <LayerProfile
              title="Gradient of each layer"
              layers={labels}
              mean={means}
              reach={maxima}
              step={at}
              hover={hover}
              selection={row.selection.value}
              onSelect={row.onSelect}
              rows={row.shown.value}
              frame={frame}
              onReadout={say}
              exportRef={exportRef}
              {...(usual ? { reference: usual } : {})}
            />
          )}
        </>
      )}
    </Figure>
  );
}

function ProfileKey() {
  return (
    <p class="profile-key">
      <i class="mean" /> mean |g| <i class="max" /> max |g| <i class="usual" /> median of the run
    </p>
  );
}
