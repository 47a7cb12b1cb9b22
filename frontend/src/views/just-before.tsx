/** What the run did in the records before something began; a click moves the cursor there. */
import { formatCount, formatValue } from '../charts/numbers';
import type { Series as Curve } from '../charts/types';
import { selectStep } from '../state/actions';
import { steps } from '../state/derived';
import { recordAt } from '../state/steps';
import { type Change, changeIn, levelIn } from './before';
import type { Strip } from './strips';

/** So many records count as just before. */
const RECORDS = 10;
/** Where everything is said, a change by less than this factor is none. */
const VISIBLE = 1.5;

export interface NamedCurve {
  readonly name: string;
  readonly curve: Curve;
}

export interface JustBeforeProps {
  readonly step: number;
  readonly curves: readonly NamedCurve[];
  /** First step to look at, where the records before are known to be too few. */
  readonly from?: number | undefined;
  /** Whether what stayed as it was is said too. */
  readonly unchanged?: boolean;
}

export function JustBefore({ step, curves, from, unchanged = false }: JustBeforeProps) {
  const onset = recordAt(steps.value, step);
  if (onset < (unchanged ? 1 : RECORDS)) return null;
  const since = Math.min(from ?? step, steps.value[Math.max(0, onset - RECORDS)]!);
  const changes = curves
    .map(({ name, curve }) => changeIn(name, curve, since, step, unchanged ? VISIBLE : undefined))
    .filter((change) => change !== null)
    .sort((a, b) => a.step - b.step);
  const same = unchanged ? curves.filter(({ name }) => !changes.some((change) => change.name === name)) : [];
  if (changes.length === 0 && same.length === 0) return null;
  return (
    <section class="just-before" aria-label="Just before">
      <h3>Just before</h3>
      <ol>
        {changes.map((change) => (
          <li key={change.name}>
            <button type="button" onClick={() => selectStep(change.step)}>
              <b>{formatCount(change.step)}</b>
              <span>{words(change)}</span>
            </button>
          </li>
        ))}
        {same.map(({ name, curve }) => (
          <Unchanged key={name} name={name} value={levelIn(curve, since, step)} />
        ))}
      </ol>
    </section>
  );
}

function Unchanged({ name, value }: { name: string; value: number | null }) {
  if (value === null) return null;
  return (
    <li class="unchanged">
      {name} {formatValue(value, 3)}, much as before
    </li>
  );
}

/** The curves of strips by their full names: "Loss, train". */
export function curvesOf(strips: readonly Strip[]): NamedCurve[] {
  return strips.flatMap(({ label, curves }) =>
    curves.map((curve) => ({ name: curve.label === '' ? label : `${label}, ${curve.label}`, curve })),
  );
}

function words({ name, value, factor }: Change): string {
  if (Number.isNaN(value)) return `${name}: NaN or infinite`;
  const times = factor >= 1 ? `${formatValue(factor)}×` : `1/${formatCount(1 / factor)} of`;
  return `${name} ${formatValue(value, 3)}, ${times} its median before`;
}
