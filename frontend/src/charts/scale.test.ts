import { describe, expect, it } from 'vitest';
import { uniformMatrix } from './harness/data';
import { linearScale, logScale, valueScale } from './scale';
import { STATE } from './types';

describe('valueScale', () => {
  it('is the same for every magnitude between 1e-9 and 1', () => {
    expect(valueScale('log', [uniformMatrix(1, 3, 1e-4)]).domain).toEqual([1e-9, 1]);
    expect(valueScale('log').domain).toEqual([1e-9, 1]);
  });

  it('is widened to the decades of what leaves it', () => {
    expect(valueScale('log', [uniformMatrix(1, 3, 23)]).domain).toEqual([1e-9, 100]);
    expect(valueScale('log', [uniformMatrix(1, 3, 3e-12)]).domain).toEqual([1e-12, 1]);
  });

  it('is not stretched by zero, denormals, NaN, infinity or what was not recorded', () => {
    for (const value of [0, Number.NaN, Number.POSITIVE_INFINITY])
      expect(valueScale('log', [uniformMatrix(1, 3, value)]).domain).toEqual([1e-9, 1]);
    expect(valueScale('log', [uniformMatrix(1, 3, 1e-44)]).domain[0]).toBe(1e-24);
    expect(valueScale('log', [uniformMatrix(1, 3, 1e9, STATE.notRecorded)]).domain).toEqual([1e-9, 1]);
  });

  it.each(['fraction', 'signed', 'log'] as const)('has ends at 0 and 1 and comes back: %s', (kind) => {
    const scale = valueScale(kind);
    expect(scale.position(scale.domain[0])).toBeCloseTo(0, 12);
    expect(scale.position(scale.domain[1])).toBeCloseTo(1, 12);
    for (const place of [0.1, 0.5, 0.9]) expect(scale.position(scale.value(place))).toBeCloseTo(place, 9);
  });

  it('stays inside for what is outside', () => {
    expect(logScale([1e-3, 1]).position(1e-30)).toBe(0);
    expect(logScale([1e-3, 1]).position(-1)).toBe(0);
    expect(linearScale([0, 1]).position(7)).toBe(1);
  });

  it('puts zero in the middle of a linear statistic, whatever its sign', () => {
    expect(valueScale('linear', [uniformMatrix(1, 3, 5)]).domain).toEqual([-5, 5]);
    expect(valueScale('linear', [uniformMatrix(1, 3, -0.0123)]).domain).toEqual([-0.013, 0.013]);
    expect(valueScale('linear').domain).toEqual([-1, 1]);
    expect(valueScale('linear', [uniformMatrix(1, 3, 5)]).position(0)).toBe(0.5);
  });

  it('cuts a spike off a linear statistic', () => {
    const matrix = uniformMatrix(1, 200, 2);
    matrix.values[7] = 1e30;
    expect(valueScale('linear', [matrix]).domain).toEqual([-8, 8]);
    matrix.values[7] = 5;
    expect(valueScale('linear', [matrix]).domain).toEqual([-5, 5]);
  });

  it('shows one dead unit among a thousand', () => {
    const scale = valueScale('dead');
    expect([scale.position(0), scale.position(1)]).toEqual([0, 1]);
    expect(scale.position(0.001)).toBeGreaterThan(0.2);
    expect(scale.value(scale.position(0.37))).toBeCloseTo(0.37, 9);
  });
});
