import { describe, expect, it } from 'vitest';
import { intervalChanges } from './intervals';

const spending = (steps: number[], spans: number[], interval: number[]) => ({
  model: '',
  steps: Float64Array.from(steps),
  spans: Float64Array.from(spans),
  fraction: new Float32Array(steps.length),
  interval: Float32Array.from(interval),
  dropped: new Float32Array(steps.length),
});

describe('intervalChanges', () => {
  it('says from which step on', () => {
    const found = intervalChanges(spending([0, 1, 3, 5, 21], [1, 1, 2, 2, 16], [1, 1, 2, 2, 16]));
    expect(found).toEqual([
      { from: 0, interval: 1 },
      { from: 2, interval: 2 },
      { from: 6, interval: 16 },
    ]);
  });

  it('begins where the run does, and passes over records that do not say', () => {
    expect(intervalChanges(spending([107, 115, 123], [8, 8, 8], [8, Number.NaN, 8]))).toEqual([
      { from: 100, interval: 8 },
    ]);
    expect(intervalChanges(spending([], [], []))).toEqual([]);
  });
});
