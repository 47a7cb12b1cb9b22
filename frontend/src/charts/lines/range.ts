/** The range of a value axis: what is usual fills it, and a spike is cut off rather than flattening the rest. */

import { ceilDecade, floorDecade, linearScale, logScale, type ValueScale } from '../scale';
import { roundDomain } from '../ticks';
import type { Domain, ScaleKind } from '../types';

/** Values beyond this many usual ranges are cut off. */
const SPIKE = 2.5;
/** The usual range leaves out this share at either end. */
const TAIL = 0.02;
/** Steps between the round ends of an axis. */
const ROUND = 5;

/** What is usual is judged by so many values, evenly picked. */
const SAMPLE = 8192;

/**
 * Lowest and highest of the values that a scale should show; null without any. Log scales show what is above zero.
 *
 * @param spikes Whether a spike is shown too, even if it flattens the rest.
 */
export function robustRange(values: readonly number[], log: boolean, spikes = false): Domain | null {
  const shown = values.filter((value) => Number.isFinite(value) && (!log || value > 0));
  if (!shown.length) return null;
  const place = (value: number) => (log ? Math.log10(value) : value);
  const lowest = place(shown.reduce((a, b) => Math.min(a, b)));
  const highest = place(shown.reduce((a, b) => Math.max(a, b)));
  const [low, high] = usualRange(shown).map(place) as [number, number];
  const usual = high - low;
  const cut = (distance: number) => !spikes && usual > 0 && distance > SPIKE * usual;
  const range = [
    cut(low - lowest) ? low - usual * 0.1 : lowest,
    cut(highest - high) ? high + usual * 0.1 : highest,
  ];
  return range.map((end) => (log ? 10 ** end : end)) as [number, number];
}

/** The values within which all but the tails lie. */
function usualRange(values: readonly number[]): Domain {
  const every = Math.ceil(values.length / SAMPLE);
  const sorted = Float64Array.from(values.filter((_, index) => index % every === 0)).sort();
  const last = sorted.length - 1;
  return [sorted[Math.ceil(last * TAIL)]!, sorted[Math.floor(last * (1 - TAIL))]!];
}

/** A value axis for `range`, widened to round ends. */
export function valueAxis(kind: ScaleKind, range: Domain | null): ValueScale {
  if (kind === 'fraction') return linearScale([0, 1], kind);
  if (kind === 'signed') return linearScale([-1, 1], kind, 'low');
  if (kind === 'log') return logScale(decades(range ?? [1e-3, 1]));
  return linearScale(padded(range ?? [0, 1]), kind);
}

/** A distance below one decade still gets one, around the values. */
function decades([low, high]: Domain): Domain {
  const bottom = floorDecade(low);
  const top = ceilDecade(high);
  return top > bottom ? [bottom, top] : [bottom, bottom * 10];
}

/** Round ends; zero is the foot of what is never negative and comes near it. */
function padded([low, high]: Domain): Domain {
  const range = high - low || Math.abs(high) || 1;
  const near = low >= 0 && low < range * 0.35;
  if (high === low) return [low - range / 2, high + range / 2];
  return roundDomain([near ? 0 : low, high], ROUND);
}
