import { describe, expect, it } from 'vitest';
import { middles } from './group-names';

describe('the middle of a group', () => {
  const positions = Float32Array.from([0, 0, 2, 4, 100, 100, Number.NaN, Number.NaN, 7, 8, 1, 1]);
  const codes = Int32Array.from([0, 0, 0, 0, 1, -1]);

  it('is the median, which stragglers do not move', () => {
    const shown = new Uint8Array(6).fill(1);
    expect([...middles(positions, 2, codes, shown, 3)]).toEqual([2, 4, 7, 8, Number.NaN, Number.NaN]);
  });

  it('is that of the points in colour', () => {
    const shown = Uint8Array.from([1, 0, 0, 1, 0, 1]);
    expect([...middles(positions, 2, codes, shown, 2)]).toEqual([0, 0, Number.NaN, Number.NaN]);
  });
});
