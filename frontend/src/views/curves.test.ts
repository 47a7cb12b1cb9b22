import { describe, expect, it } from 'vitest';
import { type Series, STATE } from '../data/types';
import { rowCurve } from './curves';

const series: Series = {
  statistic: 'gradient_norm',
  kind: 'layers',
  rows: [4, 5],
  steps: Float64Array.of(0, 1, 2, 3),
  spans: Float64Array.of(1, 1, 1, 1),
  observations: Float32Array.of(1, 1, 1, 1),
  values: Float32Array.of(1, 2, 3, 4, 5, Number.NaN, 7, Number.NaN),
  states: Uint8Array.of(0, 0, 0, 0, 0, STATE.missing, 0, STATE.noGradient),
  low: null,
  high: null,
};

describe('rowCurve', () => {
  it('holds the records of the row only, so that its own pace says what is a gap', () => {
    const { steps, values, states } = rowCurve(series, 1, '');
    expect([...steps]).toEqual([0, 2, 3]);
    expect(Array.from(values)).toEqual([5, 7, Number.NaN]);
    expect([...states!]).toEqual([0, 0, STATE.noGradient]);
  });

  it('leaves out the band where there is none', () => {
    expect('low' in rowCurve(series, 0, '')).toBe(false);
  });
});
