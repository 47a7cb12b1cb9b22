/** One unit over the steps: how often it fired, its mean and spread, its largest value. And the way to another one. */
import { useSignal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { lifeWords, stateWords } from '../charts/lifelines/life';
import { formatCount } from '../charts/numbers';
import { pageTheme } from '../charts/theme';
import type { Series as Curve, ScaleKind } from '../charts/types';
import type { DataError } from '../data/errors';
import type { Activation, UnitPage } from '../data/types';
import { aboutUnits, activations, selectUnit, stateNames } from '../state/activations';
import { step } from '../state/derived';
import { recordAt } from '../state/steps';
import { DataNotice } from './data-notice';
import { LinesFigure } from './lines-figure';
import { Neighbour } from './neighbour';
import { lifeOf } from './units/pages';
import { useFollow } from './use-follow';
import { sentence } from './words';

export interface UnitCurvesProps {
  readonly activation: number;
  readonly unit: number;
}

export function UnitCurves({ activation, unit }: UnitCurvesProps) {
  const { value, error } = useUnit(activation, unit);
  const about = activations.value[activation];
  const theme = pageTheme().value;
  const panels = useMemo(() => (value === null ? [] : panelsOf(value)), [value, theme]);
  if (about === undefined) return null;
  return (
    <section class="unit-curves" aria-label={`Unit ${formatCount(unit)}`}>
      <header class="unit-head">
        <UnitPicker activation={about} unit={unit} />
        <span class="muted clip">{value === null ? '' : readingOf(value)}</span>
      </header>
      <Panels panels={panels} name={`unit ${formatCount(unit)} of ${about.label}`} error={error} />
    </section>
  );
}

interface Panel {
  readonly title: string;
  readonly scale: ScaleKind;
  readonly curve: Curve;
}

function Panels({
  panels,
  name,
  error,
}: {
  panels: readonly Panel[];
  name: string;
  error: DataError | null;
}) {
  return (
    <div class="unit-panels">
      <DataNotice error={error} />
      {panels.map(({ title, scale, curve }) => (
        <LinesFigure key={title} title={title} name={`${title}: ${name}`} series={[curve]} scale={scale} />
      ))}
    </div>
  );
}

function useUnit(activation: number, unit: number) {
  const wanted = useSignal({ activation, unit });
  if (wanted.value.activation !== activation || wanted.value.unit !== unit)
    wanted.value = { activation, unit };
  return useFollow(() => {
    const { activation, unit } = wanted.value;
    return aboutUnits({ activation, first: unit, count: 1, sort: 'index' });
  }).value;
}

/** The first row of a page as curves. */
function panelsOf({ steps, spans, fired, mean, std, largest }: UnitPage): Panel[] {
  const length = steps.length;
  const curve = (values: Float32Array): Curve => {
    const states = Uint8Array.from({ length }, (_, record) => (Number.isNaN(values[record]) ? 1 : 0));
    return { label: '', steps, spans, values: values.subarray(0, length), states };
  };
  const spread = (sign: number) =>
    Float32Array.from({ length }, (_, record) => mean[record]! + sign * std[record]!);
  return [
    { title: 'Share of samples it fired on', scale: 'fraction', curve: curve(fired) },
    {
      title: 'Mean ± standard deviation',
      scale: 'linear',
      curve: { ...curve(mean), low: spread(-1), high: spread(1) },
    },
    { title: 'Largest value', scale: 'linear', curve: curve(largest) },
  ];
}

/** "Dead since step 424 · fired in 0 of 1,024 samples …" at the step of the page. */
function readingOf(page: UnitPage): string {
  const life = lifeOf(page)(0);
  if (life === null || page.steps.length === 0) return '';
  const record = recordAt(page.steps, step.value ?? Number.POSITIVE_INFINITY);
  const words = lifeWords(life, record, stateNames.value).split(' · ').slice(3);
  return [sentence(stateWords(life, record, stateNames.value)), ...words].join(' · ');
}

/** The number of the unit, its neighbours, and how many there are. */
function UnitPicker({ activation, unit }: { activation: Activation; unit: number }) {
  const noun = activation.unit || 'unit';
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would bring its own looks and no more meaning.
    <span class="unit-picker" role="group" aria-label="Unit">
      <h3>{sentence(noun)}</h3>
      <Move by={-1} unit={unit} last={activation.units - 1} />
      <input
        class="number"
        type="text"
        inputMode="numeric"
        aria-label={`Go to ${noun}`}
        value={formatCount(unit)}
        onFocus={(event) => event.currentTarget.select()}
        onChange={(event) => {
          const typed = Number(event.currentTarget.value.replace(/[\s,.']/g, ''));
          if (event.currentTarget.value.trim() !== '' && Number.isFinite(typed)) selectUnit(typed);
          event.currentTarget.value = formatCount(unit);
        }}
      />
      <Move by={1} unit={unit} last={activation.units - 1} />
      <span class="muted">of {formatCount(activation.units)}, from 0</span>
    </span>
  );
}

function Move({ by, unit, last }: { by: number; unit: number; last: number }) {
  return (
    <Neighbour
      by={by}
      label={by < 0 ? 'Previous unit' : 'Next unit'}
      disabled={by < 0 ? unit <= 0 : unit >= last}
      onMove={() => selectUnit(unit + by)}
    />
  );
}
