/** Mean and spread of every activation at the step: does the signal shrink or blow up on its way? */
import type { ReadonlySignal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { formatCount, formatValue } from '../../charts/numbers';
import { SPREAD } from '../../charts/profile/kinds';
import { LayerProfile } from '../../charts/profile/LayerProfile';
import { reading, recordOf } from '../../charts/profile/values';
import type { LayerLabel, Matrix, RowFrame, Selection } from '../../charts/types';
import type { Series } from '../../data/types';
import { Figure } from '../figure';
import { hover, toMatrix } from '../page';
import { say } from '../readout';

export interface DepthProps {
  readonly mean: Series | null;
  readonly std: Series | null;
  readonly labels: readonly LayerLabel[];
  readonly shown: readonly number[];
  readonly selection: Selection;
  readonly onSelect: (change: Partial<Selection>) => void;
  readonly frame: ReadonlySignal<RowFrame | null>;
}

export function Depth({ mean, std, labels, shown, selection, onSelect, frame }: DepthProps) {
  const means = useMemo(() => mean && toMatrix(mean), [mean]);
  const spreads = useMemo(() => std && toMatrix(std), [std]);
  const at = selection.step;
  const fits =
    means !== null && spreads !== null && means.rows === labels.length && spreads.rows === labels.length;
  const words = spreads === null || at === null ? '' : depthWords(spreads, shown, at);
  return (
    <Figure
      title="Through the depth"
      caption={at === null ? '' : `at step ${formatCount(at)}`}
      class="flow-profile"
    >
      {(exportRef) => (
        <>
          <p class="profile-key" title={words}>
            <span class="clip">{words === '' ? 'mean ± standard deviation' : words}</span>
          </p>
          {fits && (
            <LayerProfile
              title="Mean ± standard deviation through the depth"
              kind={SPREAD}
              layers={labels}
              mean={means}
              reach={spreads}
              step={at}
              hover={hover}
              selection={selection}
              onSelect={onSelect}
              rows={shown}
              frame={frame}
              onReadout={say}
              exportRef={exportRef}
            />
          )}
        </>
      )}
    </Figure>
  );
}

/** A change by less than this factor is none. */
const MUCH = 3;

/** "Signal shrinks to 1/1,200: std 0.98 → 8e-4", of the first and the last row that have a spread. */
export function depthWords(std: Matrix, shown: readonly number[], step: number): string {
  const record = recordOf(std, step);
  const known = shown.filter((row) => typeof reading(std, row, record) === 'number');
  const [first, last] = [known[0], known.at(-1)];
  if (first === undefined || last === undefined || first === last) return '';
  const [from, to] = [reading(std, first, record), reading(std, last, record)] as [number, number];
  const ends = `std ${formatValue(from)} → ${formatValue(to)}`;
  if (to / from >= MUCH) return `Signal grows ${formatValue(to / from)}-fold: ${ends}`;
  if (to / from <= 1 / MUCH) return `Signal shrinks to 1/${formatCount(from / to)}: ${ends}`;
  return `Signal keeps its size: ${ends}`;
}
