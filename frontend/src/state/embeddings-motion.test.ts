import { describe, expect, it } from 'vitest';
import { canMove, eased, positionsAt } from './embeddings-motion';
import { pace } from './embeddings-play';

const points = (set: number, count: number, dims: number) => ({
  step: 0,
  set,
  count,
  dims,
  positions: new Float32Array(count * dims),
  predictions: null,
});

describe('a motion', () => {
  const from = Float32Array.from([0, 0, Number.NaN, Number.NaN, 8, 8]);
  const to = Float32Array.from([2, 4, 5, 6, Number.NaN, Number.NaN]);

  it('is in between in its midst, and where a point is known in the absence of one end', () => {
    expect([...positionsAt({ from, to, mix: 0.25 })]).toEqual([0.5, 1, 5, 6, 8, 8]);
  });

  it('is exactly at its ends', () => {
    expect(positionsAt({ from, to, mix: 0 })).toBe(from);
    expect(positionsAt({ from, to, mix: 1 })).toBe(to);
  });

  it('is only between the same points', () => {
    expect(canMove(points(0, 5, 2), points(0, 5, 2))).toBe(true);
    expect(canMove(points(0, 5, 2), points(1, 5, 2))).toBe(false);
    expect(canMove(points(0, 5, 2), points(0, 5, 3))).toBe(false);
    expect(canMove(points(0, 5, 2), points(0, 6, 2))).toBe(false);
  });

  it('begins and ends at rest', () => {
    expect([-1, 0, 0.5, 1, 2].map(eased)).toEqual([0, 0, 0.5, 1, 1]);
    expect(eased(0.01)).toBeLessThan(0.01);
    expect(eased(0.99)).toBeGreaterThan(0.99);
  });
});

describe('the pace', () => {
  it('lets every step be seen, and a long run come to an end', () => {
    expect([2, 20, 1000].map(pace)).toEqual([700, 700, 120]);
    expect(pace(50)).toBe(280);
  });
});
