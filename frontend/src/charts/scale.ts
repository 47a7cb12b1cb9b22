/** From a statistic's value to a place between 0 and 1 on its colour bar or axis. */

import { logTicks, scaleTicks } from './ticks';
import { type Domain, type Matrix, type ScaleKind, STATE } from './types';

export interface ValueScale {
  readonly kind: ScaleKind;
  readonly domain: Domain;
  /** Whether an exact zero has a mark of its own instead of a place. */
  readonly marksZero: boolean;
  /** Which end is the ill one: a folded scope shows this end of its children. */
  readonly worst: 'low' | 'high';
  /** Place of a finite value, between 0 and 1; values outside the domain stand at its ends. */
  position(value: number): number;
  /** The value at a place. */
  value(position: number): number;
  ticks(count: number): number[];
}

/** Magnitudes have the same colours in every layer and run, unless they leave this. */
const MAGNITUDES: Domain = [1e-9, 1];
/** Those of outputs, which are near one in good health. */
export const OUTPUTS: Domain = [1e-3, 10];
/** A denormal must not stretch the colours beyond use. */
const FARTHEST: Domain = [1e-24, 1e12];

/** The scale of a statistic; a log scale spans `magnitudes`, and the decades beyond that `matrices` need. */
export function valueScale(
  kind: ScaleKind,
  matrices: readonly Matrix[] = [],
  magnitudes: Domain = MAGNITUDES,
): ValueScale {
  if (kind === 'log') return logScale(widen(magnitudes, matrices));
  if (kind === 'fraction') return linearScale([0, 1], 'fraction', 'high');
  if (kind === 'signed') return linearScale([-1, 1], 'signed', 'low');
  if (kind === 'share' || kind === 'dead') return shareScale(kind);
  return linearScale(symmetric(matrices), 'linear', 'high');
}

/** Log10 over `domain`, whose ends are above zero. */
export function logScale(domain: Domain): ValueScale {
  const low = Math.log10(domain[0]);
  const range = Math.log10(domain[1]) - low || 1;
  return {
    kind: 'log',
    domain,
    marksZero: true,
    worst: 'low',
    position: (value) => clamp(value > 0 ? (Math.log10(value) - low) / range : 0),
    value: (position) => 10 ** (low + position * range),
    ticks: (count) => logTicks(domain, count),
  };
}

export function linearScale(
  domain: Domain,
  kind: ScaleKind = 'linear',
  worst: 'low' | 'high' = 'high',
): ValueScale {
  const range = domain[1] - domain[0] || 1;
  return {
    kind,
    domain,
    marksZero: false,
    worst,
    position: (value) => clamp((value - domain[0]) / range),
    value: (position) => domain[0] + position * range,
    ticks: (count) => scaleTicks(domain, count),
  };
}

/** A single unit of many must be seen, so that every share above zero begins some way up. */
const SEEN = 0.25;

/** Shares of units: paper for none. */
export function shareScale(kind: 'share' | 'dead'): ValueScale {
  return {
    ...linearScale([0, 1], kind, 'high'),
    position: (value) => (value > 0 ? clamp(SEEN + (1 - SEEN) * value) : 0),
    value: (position) => (position < SEEN ? 0 : (position - SEEN) / (1 - SEEN)),
  };
}

function widen(domain: Domain, matrices: readonly Matrix[]): Domain {
  let [low, high] = domain;
  for (const { values, states } of matrices)
    for (let cell = 0; cell < values.length; cell++) {
      const value = values[cell]!;
      if (value > 0 && states[cell] !== STATE.notRecorded && value < Number.POSITIVE_INFINITY) {
        if (value < low) low = value;
        else if (value > high) high = value;
      }
    }
  return [
    Math.max(FARTHEST[0], low === domain[0] ? low : floorDecade(low)),
    Math.min(FARTHEST[1], high === domain[1] ? high : ceilDecade(high)),
  ];
}

/** Values beyond this many usual ones are cut off, so that a spike does not take the colour from the rest. */
const SPIKE = 4;
/** What is usual leaves out this share, and is judged by so many values. */
const TAIL = 0.02;
const SAMPLE = 8192;

/** Zero in the middle, and ends that are as far from it as the farthest value that is no spike; rounded up. */
function symmetric(matrices: readonly Matrix[]): Domain {
  const sizes = matrices.flatMap(({ values, states }) => {
    const every = Math.ceil(values.length / SAMPLE);
    const picked: number[] = [];
    for (let cell = 0; cell < values.length; cell += every)
      if (states[cell] === STATE.number && Number.isFinite(values[cell]))
        picked.push(Math.abs(values[cell]!));
    return picked;
  });
  const sorted = Float64Array.from(sizes).sort();
  const farthest = sorted.at(-1) ?? 0;
  const usual = sorted[Math.floor((sorted.length - 1) * (1 - TAIL))] ?? 0;
  const end = roundUp(usual > 0 ? Math.min(farthest, SPIKE * usual) : farthest);
  return end > 0 ? [-end, end] : [-1, 1];
}

/** The next larger number of two digits. */
function roundUp(value: number): number {
  if (!(value > 0)) return 0;
  const unit = 10 ** (Math.floor(Math.log10(value)) - 1);
  return Number((Math.ceil(value / unit - 1e-9) * unit).toPrecision(2));
}

export const floorDecade = (value: number): number => Number(`1e${Math.floor(Math.log10(value) + 1e-9)}`);
export const ceilDecade = (value: number): number => Number(`1e${Math.ceil(Math.log10(value) - 1e-9)}`);

function clamp(position: number): number {
  return Math.min(1, Math.max(0, position));
}
