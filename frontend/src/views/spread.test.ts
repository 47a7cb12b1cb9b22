import { describe, expect, it } from 'vitest';
import type { Series } from '../data/types';
import { spreadOf } from './spread';

function series(rows: readonly (readonly number[])[], states?: readonly (readonly number[])[]): Series {
  const length = rows[0]!.length;
  return {
    statistic: 'gradient_norm',
    kind: 'layers',
    rows: rows.map((_, i) => i),
    steps: Float64Array.from({ length }, (_, i) => i),
    spans: new Float64Array(length).fill(1),
    observations: new Float32Array(length).fill(1),
    values: Float32Array.from(rows.flat()),
    states: Uint8Array.from(states?.flat() ?? rows.flat().map(() => 0)),
    low: null,
    high: null,
  };
}

describe('spreadOf', () => {
  it('orders the layers of each record on their own', () => {
    const eleven = Array.from({ length: 11 }, (_, i) => [i, 100 - i]);
    const { low, middle, high } = spreadOf(series(eleven), null);
    expect([...low]).toEqual([1, 91]);
    expect([...middle]).toEqual([5, 95]);
    expect([...high]).toEqual([9, 99]);
  });

  it('leaves out the layer itself and what is no number', () => {
    const rows = [[1], [2], [3], [1000], [Number.NaN], [7]];
    const states = [[0], [0], [0], [0], [3], [1]];
    expect(spreadOf(series(rows, states), 3).high[0]).toBe(3);
  });

  it('does not speak of a spread of two', () => {
    expect(spreadOf(series([[1], [2]]), null).middle[0]).toBeNaN();
  });
});
