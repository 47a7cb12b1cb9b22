import { describe, expect, it } from 'vitest';
import { legendTicks } from './legendTicks';
import { linearScale, logScale } from './scale';

describe('legendTicks', () => {
  it.each([
    [
      [1e-9, 1],
      [1e-9, 1e-6, 1e-3, 1],
    ],
    [
      [1e-9, 100],
      [1e-9, 1e-5, 0.01, 100],
    ],
    [
      [1e-12, 1],
      [1e-12, 1e-8, 1e-4, 1],
    ],
  ] as const)('of %j are %j', (domain, ticks) => {
    expect(legendTicks(logScale(domain), 180)).toEqual(ticks);
  });

  it('always name both ends and something between', () => {
    for (let low = -24; low < 1; low++)
      for (const length of [80, 120, 180]) {
        const ticks = legendTicks(logScale([Number(`1e${low}`), 1000]), length);
        expect([ticks[0], ticks.at(-1)]).toEqual([Number(`1e${low}`), 1000]);
        expect(ticks.length).toBeGreaterThanOrEqual(3);
        expect(ticks.length).toBeLessThanOrEqual(5);
        expect(new Set(ticks).size).toBe(ticks.length);
      }
  });

  it('name the middle of a linear scale', () => {
    expect(legendTicks(linearScale([-1, 1], 'signed'), 180)).toEqual([-1, 0, 1]);
    expect(legendTicks(linearScale([0, 1], 'fraction'), 80)).toEqual([0, 0.5, 1]);
  });
});
