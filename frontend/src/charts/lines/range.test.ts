import { describe, expect, it } from 'vitest';
import { random } from '../harness/data';
import { spreadApart } from './drawFrame';
import { robustRange, valueAxis } from './range';

const uniform = random(1);
const noisy = Array.from({ length: 500 }, () => 2 + uniform() * 0.2);

describe('robustRange', () => {
  it('is not flattened by a spike or a dip', () => {
    const [low, high] = robustRange([...noisy, 480, -90], false)!;
    expect(low).toBeGreaterThan(1.9);
    expect(high).toBeLessThan(2.3);
  });

  it('holds every spike where these are what one looks for', () => {
    expect(robustRange([...noisy, 480, -90], false, true)).toEqual([-90, 480]);
  });

  it('keeps the beginning of a loss that falls', () => {
    const loss = Array.from({ length: 1000 }, (_, step) => 0.1 + 2.2 * Math.exp(-step / 300));
    expect(robustRange(loss, false)![1]).toBeCloseTo(2.3, 5);
  });

  it('counts decades on a log axis and leaves out zero', () => {
    expect(robustRange([0, 1e-6, 1e-3, 1], true)).toEqual([expect.closeTo(1e-6, 12), expect.closeTo(1, 9)]);
  });

  it('takes NaN, one value, equal values and nothing', () => {
    expect(robustRange([Number.NaN, Number.POSITIVE_INFINITY], false)).toBeNull();
    expect(robustRange([], true)).toBeNull();
    expect(robustRange([3], false)).toEqual([3, 3]);
    expect(robustRange([3, 3, 3, 3], false)).toEqual([3, 3]);
  });

  it('shows a change after a constant', () => {
    expect(robustRange([0, 0, 0, ...new Array(200).fill(0), 5], false)).toEqual([0, 5]);
  });
});

describe('valueAxis', () => {
  it('has room for one value', () => {
    for (const value of [0, 3, -3, 1e-12]) {
      const { domain } = valueAxis('linear', [value, value]);
      expect(domain[0]).toBeLessThan(value);
      expect(domain[1]).toBeGreaterThan(value);
    }
    expect(valueAxis('log', [0.02, 0.02]).domain).toEqual([0.01, 0.1]);
    expect(valueAxis('log', [1, 1]).domain).toEqual([1, 10]);
  });

  it('stands on zero where values come near it, and nowhere else', () => {
    expect(valueAxis('linear', [0.1, 2.3]).domain[0]).toBe(0);
    expect(valueAxis('linear', [2.1, 2.3]).domain[0]).toBeGreaterThan(2);
    expect(valueAxis('linear', [-1, 2]).domain[0]).toBeLessThanOrEqual(-1);
  });

  it('is fixed for shares and cosines', () => {
    expect(valueAxis('fraction', [0.2, 0.3]).domain).toEqual([0, 1]);
    expect(valueAxis('signed', null).domain).toEqual([-1, 1]);
  });
});

describe('spreadApart', () => {
  it('keeps names in their order and apart', () => {
    const places = spreadApart([50, 51, 49], 14, 0, 100);
    const sorted = [places[2]!, places[0]!, places[1]!];
    expect(sorted[1]! - sorted[0]!).toBeGreaterThanOrEqual(14);
    expect(sorted[2]! - sorted[1]!).toBeGreaterThanOrEqual(14);
  });

  it('stays inside, and leaves out what finds no room', () => {
    const places = spreadApart([90, 95, 99, 99, 99, 99, 99, 99, 99, 99], 14, 0, 100);
    const placed = places.filter((place) => !Number.isNaN(place));
    expect(placed).toHaveLength(8);
    expect(Math.max(...placed)).toBeLessThanOrEqual(100);
    expect(Math.min(...placed)).toBeGreaterThanOrEqual(0);
  });
});
