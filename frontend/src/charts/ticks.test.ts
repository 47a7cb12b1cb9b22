import { describe, expect, it } from 'vitest';
import { linearTicks, logTicks, roundDomain, scaleTicks, stepTicks } from './ticks';

describe('linearTicks', () => {
  it.each([
    [[0, 5000], 5, [0, 1000, 2000, 3000, 4000, 5000]],
    [[0.1, 0.34], 3, [0.1, 0.2, 0.3]],
    [[-1, 1], 4, [-1, -0.5, 0, 0.5, 1]],
    [[3, 3], 4, [3]],
  ] as const)('of %j, about %i', (domain, count, ticks) => {
    expect(linearTicks(domain, count)).toEqual(ticks);
  });

  it('takes an empty or impossible domain', () => {
    expect(linearTicks([5, 1], 4)).toEqual([5]);
    expect(linearTicks([Number.NaN, 1], 4)).toEqual([]);
  });
});

describe('scaleTicks', () => {
  it('has two ticks at least', () => {
    for (const domain of [
      [1.2, 2.7],
      [0.13, 0.19],
      [90, 1100],
    ] as const)
      expect(scaleTicks(domain, 2).length).toBeGreaterThan(1);
    expect(scaleTicks([4, 4], 2)).toEqual([4, 4]);
  });
});

describe('roundDomain', () => {
  it('holds the domain between round ends', () => {
    expect(roundDomain([1.21, 2.68], 5)).toEqual([1, 3]);
    expect(roundDomain([0, 0.117], 5)).toEqual([0, 0.15]);
  });
});

describe('stepTicks', () => {
  it('are whole steps', () => {
    expect(stepTicks([0, 3], 10)).toEqual([0, 1, 2, 3]);
  });
});

describe('logTicks', () => {
  it('are powers of ten, thinned', () => {
    expect(logTicks([1e-9, 1], 4)).toEqual([1e-9, 1e-6, 1e-3, 1]);
    expect(logTicks([1e-3, 1], 9)).toEqual([1e-3, 1e-2, 0.1, 1]);
    expect(logTicks([1e-24, 1e12], 4).length).toBeLessThanOrEqual(4);
  });
});
