import { describe, expect, it } from 'vitest';
import { type Series, STATE } from '../../data/types';
import { updateOf } from './causes';

function series(
  steps: number[],
  values: number[],
  states = values.map(() => STATE.number as number),
): Series {
  return {
    statistic: 'any',
    kind: 'layers',
    rows: [3],
    steps: Float64Array.from(steps),
    spans: new Float64Array(steps.length).fill(1),
    observations: new Float32Array(steps.length).fill(1),
    values: Float32Array.from(values),
    states: Uint8Array.from(states),
    low: null,
    high: null,
  };
}

describe('the norm of the update', () => {
  it('is its share of the norm of the weights, times that norm', () => {
    const update = updateOf(series([1, 2], [0.5, 0.25]), series([1, 2], [8, 4]));
    expect([...update.values]).toEqual([4, 1]);
    expect([...update.states]).toEqual([STATE.number, STATE.number]);
  });

  it('is missing where one of both is', () => {
    const ratio = series([1, 2, 3], [0.5, 0.25, Number.NaN], [0, 0, STATE.noGradient]);
    const update = updateOf(ratio, series([1, 3], [8, 4], [STATE.nonFinite, STATE.number]));
    expect([...update.states]).toEqual([STATE.missing, STATE.missing, STATE.noGradient]);
  });
});
