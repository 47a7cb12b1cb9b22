import { describe, expect, it } from 'vitest';
import { changeIn, levelIn } from './before';

function curve(values: number[]) {
  return {
    label: '',
    steps: Float64Array.from(values, (_, step) => step),
    spans: new Float64Array(values.length).fill(1),
    values: Float64Array.from(values),
  };
}

const usual = [1, 1.1, 0.9, 1, 1.2, 1, 0.8, 1, 1, 1];

describe('changeIn', () => {
  it('finds the largest change, its step and its factor', () => {
    expect(changeIn('loss', curve([...usual, 3, 12, 5, 900]), 10, 12)).toEqual({
      name: 'loss',
      step: 11,
      value: 12,
      factor: 12,
    });
  });

  it('finds a fall too', () => {
    expect(changeIn('norm', curve([...usual, 1, 0.01, 1]), 10, 12)?.factor).toBeCloseTo(0.01, 9);
  });

  it('does not tell as new what changed long ago', () => {
    const rates = curve([...new Array(50).fill(0.1), ...new Array(50).fill(0.01)]);
    expect(changeIn('rate', rates, 90, 99)).toBeNull();
    expect(changeIn('rate', rates, 45, 54)).toMatchObject({ step: 50 });
  });

  it('says where a value was not finite', () => {
    expect(changeIn('loss', curve([...usual, 3, Number.NaN, 5]), 10, 12)).toMatchObject({
      step: 11,
      value: Number.NaN,
    });
  });

  it('says nothing of what is usual, of exact zeros, and without a past', () => {
    expect(changeIn('loss', curve([...usual, 1.3, 0.7, 0]), 10, 12)).toBeNull();
    expect(changeIn('loss', curve([1, 1, 9]), 2, 2)).toBeNull();
    expect(changeIn('loss', curve([]), 2, 2)).toBeNull();
  });
});

describe('levelIn', () => {
  it('is the last number that lies between the steps', () => {
    expect(levelIn(curve([5, 6, 7, Number.NaN, 9]), 0, 3)).toBe(7);
    expect(levelIn(curve([5, 6, 7]), 4, 9)).toBeNull();
  });
});
