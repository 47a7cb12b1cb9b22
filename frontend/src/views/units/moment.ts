/** The moment of death that the page is about, and the steps around it. */
import { useRef } from 'preact/hooks';
import type { Series as Curve, Domain } from '../../charts/types';
import type { Death } from '../../data/types';
import { activationIndex } from '../../state/activations';
import { step } from '../../state/derived';
import { recordAt } from '../../state/steps';

/** Records on each side of a moment: about as many before as after, but never so few that nothing is seen. */
const MOST = 24;
const FEWEST = 10;

/**
 * The moment under the cursor. While the cursor moves on it stays the one that was there last, as long as its
 * activation is selected; before that it is the largest of the activation.
 */
export function useMoment(deaths: readonly Death[]): Death | null {
  const held = useRef<Death | null>(null);
  const own = deaths.filter(({ activation }) => activation === activationIndex.value);
  const at = (wanted: number | null | undefined) => own.find((death) => death.step === wanted);
  const kept = held.current?.activation === activationIndex.value ? at(held.current.step) : undefined;
  held.current = at(step.value) ?? kept ?? own[0] ?? null;
  return held.current;
}

/** The steps of the records around `step`; null where there is none before it. */
export function stepsAround(steps: ArrayLike<number>, step: number): Domain | null {
  const onset = recordAt(steps, step);
  if (onset < 1) return null;
  const last = steps.length - 1;
  const side = Math.min(MOST, Math.max(FEWEST, Math.min(onset, last - onset)));
  return [steps[Math.max(0, onset - side)]! - 0.5, steps[Math.min(last, onset + side)]! + 0.5];
}

/** The records of a curve that lie in some steps, or reach into them; null where there is no value among them. */
export function within(curve: Curve, [from, to]: Domain): Curve | null {
  const { steps, spans } = curve;
  const inside = [...steps.keys()].filter(
    (record) => steps[record]! >= from && steps[record]! - Math.max(1, spans[record] || 1) < to,
  );
  const [first, last] = [inside[0], inside.at(-1)];
  if (first === undefined || last === undefined) return null;
  const cut = <T extends ArrayLike<number>>(values: T) =>
    Float64Array.from({ length: last + 1 - first }, (_, record) => values[first + record]!);
  return {
    ...curve,
    steps: cut(steps),
    spans: cut(spans),
    values: cut(curve.values),
    ...(curve.low && curve.high ? { low: cut(curve.low), high: cut(curve.high) } : {}),
    ...(curve.states ? { states: curve.states.slice(first, last + 1) } : {}),
  };
}
