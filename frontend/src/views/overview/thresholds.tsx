/** The thresholds of the rules; moved here, the verdict is passed again at once. */
import { signal, useSignalEffect } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { formatValue } from '../../charts/numbers';
import type { Report, ThresholdInfo } from '../../data/findings';
import { findings, moved, moveThresholds, report, selectedFinding } from '../../state/findings';
import { fromPlace, keyOf, PLACES, toPlace, toValue, withThreshold } from '../../state/thresholds';
import { Close, Settings } from '../icons';
import { Popover } from '../popover';
import { plural, sentence } from '../words';

/** Milliseconds that a slider rests before the run is judged anew. */
const REST = 200;

export function Thresholds() {
  const known = report.value;
  const count = moved.value.size;
  // Of thresholds that the server refuses there is no report, and still they have to be taken back.
  if (known === null && count === 0) return null;
  return (
    <Popover
      label="Thresholds"
      worded
      class={count > 0 ? 'control slim moved' : 'control slim'}
      button={
        <>
          <Settings />
          {count > 0 ? `${plural(count, 'threshold')} moved` : 'Thresholds'}
        </>
      }
    >
      {() => <Sheet report={known} />}
    </Popover>
  );
}

function Sheet({ report: known }: { report: Report | null }) {
  return (
    <div class="sheet wide thresholds">
      <header>
        <h3>Thresholds</h3>
        <button
          type="button"
          class="link"
          disabled={moved.value.size === 0}
          onClick={() => moveThresholds(new Map())}
        >
          Reset all
        </button>
      </header>
      <p class="muted">
        Move one, and the run is judged anew. Nothing is trained again, and the address keeps where they
        stand.
      </p>
      {findings.value.error !== null && <p class="warning">{findings.value.error.message}</p>}
      {known !== null &&
        byRule(known).map(({ title, thresholds }) => (
          <fieldset key={title}>
            <legend>{title}</legend>
            {thresholds.map((info) => (
              <Slider key={info.name} info={info} />
            ))}
          </fieldset>
        ))}
    </div>
  );
}

interface Group {
  readonly title: string;
  readonly thresholds: readonly ThresholdInfo[];
}

/** The thresholds of each rule, those of the selected finding's rule first. */
function byRule(known: Report): Group[] {
  const named = [known.findings, known.findings.flatMap((one) => one.consequences), known.passed];
  const titles = new Map([...named, known.not_checked].flat().map(({ rule, title }) => [rule, title]));
  const first = selectedFinding.peek()?.rule;
  return [...new Set(known.thresholds.map(({ rule }) => rule))]
    .sort((a, b) => Number(b === first) - Number(a === first))
    .map((rule) => ({
      title: titles.get(rule) ?? rule,
      thresholds: known.thresholds.filter((one) => one.rule === rule),
    }));
}

function Slider({ info }: { info: ThresholdInfo }) {
  const standing = moved.value.get(keyOf(info)) ?? info.default;
  const held = useMemo(() => signal<number | null>(null), []);
  const set = (value: number) => moveThresholds(withThreshold(moved.peek(), info, value));
  useSignalEffect(() => {
    const value = held.value;
    if (value === null) return;
    const timer = setTimeout(() => {
      set(value);
      held.value = null;
    }, REST);
    return () => clearTimeout(timer);
  });
  const value = held.value ?? standing;
  const isMoved = value !== info.default;
  const label = sentence(info.label);
  return (
    <div class={isMoved ? 'slider moved' : 'slider'}>
      <span class="slider-label">{label}</span>
      <input
        type="range"
        min={0}
        max={PLACES}
        value={toPlace(info, value)}
        aria-label={label}
        aria-valuetext={formatValue(value, 3)}
        onInput={(event) => {
          held.value = fromPlace(info, event.currentTarget.valueAsNumber);
        }}
      />
      <input
        class="number"
        type="text"
        inputMode="decimal"
        aria-label={`${label}, as a number`}
        value={formatValue(value, 3)}
        onFocus={(event) => event.currentTarget.select()}
        onChange={(event) => {
          const typed = Number(event.currentTarget.value.replace(/[\s,']/g, ''));
          if (event.currentTarget.value.trim() !== '' && Number.isFinite(typed)) set(toValue(info, typed));
          event.currentTarget.value = formatValue(moved.peek().get(keyOf(info)) ?? info.default, 3);
        }}
      />
      <button
        type="button"
        class="icon-button small"
        aria-label={`${label}: back to ${formatValue(info.default, 3)}`}
        title={`Back to ${formatValue(info.default, 3)}`}
        disabled={!isMoved}
        onClick={() => {
          held.value = null;
          set(info.default);
        }}
      >
        <Close />
      </button>
    </div>
  );
}
