import { describe, expect, it } from 'vitest';
import { countsAt } from './distribution';

const series = { steps: Float64Array.of(7, 15, 23), counts: Uint32Array.from({ length: 6 }, (_, i) => i) };

describe('countsAt', () => {
  it.each([
    [0, 7, [0, 1]],
    [7, 7, [0, 1]],
    [14, 7, [0, 1]],
    [15, 15, [2, 3]],
    [Number.POSITIVE_INFINITY, 23, [4, 5]],
  ])('at step %d shows the counts of step %d', (at, step, counts) => {
    const found = countsAt(series, at, 2);
    expect(found?.step).toBe(step);
    expect([...(found?.counts ?? [])]).toEqual(counts);
  });

  it('shows nothing of nothing', () => {
    expect(countsAt({ steps: new Float64Array(0), counts: new Uint32Array(0) }, 3, 2)).toBeNull();
  });
});
