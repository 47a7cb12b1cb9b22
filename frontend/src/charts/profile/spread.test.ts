import { describe, expect, it } from 'vitest';
import { uniformMatrix } from '../harness/data';
import { bothSides, spreadScale } from './spread';
import { signedReading } from './values';

describe('a scale of both signs', () => {
  const scale = bothSides(1e-3, 10);

  it('has zero in its middle and turns back into values', () => {
    expect(scale.position(0)).toBe(0.5);
    for (const value of [-10, -0.3, -1e-4, 2e-3, 7])
      expect(scale.value(scale.position(value))).toBeCloseTo(value, 6);
  });

  it('gives each decade the same length, far from zero', () => {
    const length = (low: number) => scale.position(10 * low) - scale.position(low);
    expect(length(1)).toBeCloseTo(length(0.1), 3);
    expect(scale.position(1e9)).toBe(1);
  });

  it('names zero and powers of ten on both sides', () => {
    expect(scale.ticks(5)).toEqual([-10, -0.01, 0, 0.01, 10]);
    expect(scale.ticks(3)).toEqual([-10, 0, 10]);
  });

  it('holds what the matrices hold', () => {
    const { domain } = spreadScale(uniformMatrix(2, 3, -7), uniformMatrix(2, 3, 0.5));
    expect(domain[1]).toBeGreaterThanOrEqual(7.5);
    expect(domain[0]).toBe(-domain[1]);
    expect(spreadScale(uniformMatrix(1, 1, 0), uniformMatrix(1, 1, Number.NaN)).domain[1]).toBeGreaterThan(0);
  });
});

describe('signedReading', () => {
  it('takes zero and what is below it for numbers', () => {
    expect(signedReading(uniformMatrix(1, 1, -2), 0, 0)).toBe(-2);
    expect(signedReading(uniformMatrix(1, 1, 0), 0, 0)).toBe(0);
    expect(signedReading(uniformMatrix(1, 1, Number.NaN), 0, 0)).toBe('nonfinite');
  });
});
