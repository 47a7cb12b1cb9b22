import { describe, expect, it } from 'vitest';
import type { Metric } from '../data/types';
import { clippedOf, skipsOf, widened } from './scaling';

function metric(
  role: string,
  records: readonly [last: number, span: number, count: number, mean: number][],
): Metric {
  const column = (place: number) => Float32Array.from(records, (record) => record[place]!);
  return {
    name: role,
    role,
    steps: Float64Array.from(records, ([last]) => last),
    spans: Float64Array.from(records, ([, span]) => span),
    observations: column(2),
    mean: column(3),
    min: column(3),
    max: column(3),
    nonfinite: new Float32Array(records.length),
  };
}

describe('skipsOf', () => {
  it('joins neighbours, and keeps apart what is not known step by step', () => {
    const one = metric('skipped', [
      [0, 1, 1, 1],
      [1, 1, 1, 1],
      [2, 1, 1, 1],
      [7, 1, 1, 1],
      [1063, 64, 3, 1],
      [1064, 1, 1, 1],
    ]);
    expect(skipsOf([metric('train_loss', [[5, 1, 1, 1]]), one])).toEqual([
      { first: 0, last: 2, count: 3 },
      { first: 7, last: 7, count: 1 },
      { first: 1000, last: 1063, count: 3 },
      { first: 1064, last: 1064, count: 1 },
    ]);
  });

  it('takes those of several models in order', () => {
    const skips = skipsOf([metric('skipped', [[9, 1, 1, 1]]), metric('skipped', [[4, 1, 1, 1]])]);
    expect(skips.map(({ last }) => last)).toEqual([4, 9]);
  });
});

describe('widened', () => {
  it('takes in what was left out before the first record and after the last', () => {
    const skips = [
      { first: 0, last: 2, count: 3 },
      { first: 20, last: 21, count: 2 },
    ];
    expect(widened([2.5, 19.5], skips)).toEqual([-0.5, 21.5]);
    expect(widened([2.5, 19.5], [])).toEqual([2.5, 19.5]);
  });
});

describe('clippedOf', () => {
  it('weighs records by what they hold', () => {
    const share = clippedOf([
      metric('clipped', [
        [0, 1, 1, 1],
        [1023, 8, 8, 0.25],
        [1031, 8, 1, 0],
      ]),
    ]);
    expect(share).toEqual({ share: 0.3, steps: 10 });
  });

  it('says nothing where nothing clips', () => {
    expect(clippedOf([metric('learning_rate', [[0, 1, 1, 0.1]])])).toBeNull();
  });
});
