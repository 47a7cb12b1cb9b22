/** From where on a unit counts as dead; moved here, the verdict is passed again. */
import { formatCount } from '../../charts/numbers';
import type { UnitThresholds } from '../../data/types';
import * as selection from '../../state/selection';
import { catalogue } from '../../state/store';
import { Down } from '../icons';
import { Popover } from '../popover';
import { chosenState } from './shares';

export function Thresholds() {
  const defaults = catalogue.value.value?.unit_thresholds;
  if (defaults === undefined) return null;
  const { minSamples, minWindows } = selection;
  const moved = minSamples.value !== null || minWindows.value !== null;
  const samples = minSamples.value ?? defaults.samples;
  const windows = minWindows.value ?? defaults.windows;
  return (
    <Popover
      label="What counts as dead"
      worded
      align="end"
      class={moved ? 'control moved' : 'control'}
      button={
        <>
          Dead after {formatCount(samples)} samples, {formatCount(windows)}{' '}
          {windows === 1 ? 'window' : 'windows'}
          <Down />
        </>
      }
    >
      {() => <Sheet defaults={defaults} moved={moved} samples={samples} windows={windows} />}
    </Popover>
  );
}

interface SheetProps {
  readonly defaults: UnitThresholds;
  readonly moved: boolean;
  readonly samples: number;
  readonly windows: number;
}

function Sheet({ defaults, moved, samples, windows }: SheetProps) {
  const states = catalogue.value.value?.unit_states ?? [];
  return (
    <div class="sheet wide">
      <h3>What counts as dead</h3>
      <Field
        label="Silent over at least so many samples"
        value={samples}
        usual={defaults.samples}
        target={selection.minSamples}
      />
      <Field
        label="and so many windows one after another"
        value={windows}
        usual={defaults.windows}
        target={selection.minWindows}
      />
      <button
        type="button"
        class="link"
        disabled={!moved}
        onClick={() => {
          selection.minSamples.value = null;
          selection.minWindows.value = null;
        }}
      >
        Back to {formatCount(defaults.samples)} samples and {formatCount(defaults.windows)} windows
      </button>
      <dl class="states">
        {states.map(({ id, label, definition }, code) => (
          <div key={id} class={code === chosenState() ? 'chosen' : ''}>
            <dt>{label}</dt>
            <dd>{definition}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

interface FieldProps {
  readonly label: string;
  readonly value: number;
  readonly usual: number;
  readonly target: { value: number | null };
}

function Field({ label, value, usual, target }: FieldProps) {
  return (
    <label class="threshold">
      <span>{label}</span>
      <input
        class="number"
        type="text"
        inputMode="numeric"
        value={formatCount(value)}
        onFocus={(event) => event.currentTarget.select()}
        onChange={(event) => {
          const typed = Math.round(Number(event.currentTarget.value.replace(/[\s,.']/g, '')));
          if (typed >= 1) target.value = typed === usual ? null : typed;
          event.currentTarget.value = formatCount(target.value ?? usual);
        }}
      />
    </label>
  );
}
