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
/** A denormal must not stretch the colours beyond use. */
const FARTHEST: Domain = [1e-24, 1e12];

/** The scale of a statistic; a log scale is widened to the decades that `matrices` need. */
export function valueScale(kind: ScaleKind, matrices: readonly Matrix[] = []): ValueScale {
  if (kind === 'log') return logScale(widen(MAGNITUDES, matrices));
  if (kind === 'fraction') return linearScale([0, 1], 'fraction', 'high');
  if (kind === 'signed') return linearScale([-1, 1], 'signed', 'low');
  return linearScale(spread(matrices), 'linear', 'high');
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

function spread(matrices: readonly Matrix[]): Domain {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const { values } of matrices)
    for (const value of values)
      if (Number.isFinite(value)) {
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
  return low <= high ? [low, high] : [0, 1];
}

export const floorDecade = (value: number): number => Number(`1e${Math.floor(Math.log10(value) + 1e-9)}`);
export const ceilDecade = (value: number): number => Number(`1e${Math.ceil(Math.log10(value) - 1e-9)}`);

function clamp(position: number): number {
  return Math.min(1, Math.max(0, position));
}
