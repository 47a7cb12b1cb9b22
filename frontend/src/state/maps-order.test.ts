import { describe, expect, it } from 'vitest';
import { orderMaps, parseNumbers } from './maps-order';

const STRENGTH = Float32Array.from([0.5, 0, 2, Number.NaN, 0.5]);
const everything = { sort: 'index', show: 'all', numbers: parseNumbers('') } as const;

describe('orderMaps', () => {
  it('keeps the order of the module', () => {
    expect(orderMaps(5, STRENGTH, everything)).toEqual([0, 1, 2, 3, 4]);
  });

  it('puts the strongest first, what is not finite before all, and equals by index', () => {
    expect(orderMaps(5, STRENGTH, { ...everything, sort: 'strength' })).toEqual([3, 2, 0, 4, 1]);
  });

  it('waits for strengths that are not there yet', () => {
    expect(orderMaps(3, null, { ...everything, sort: 'strength', show: 'silent' })).toEqual([0, 1, 2]);
  });

  it.each([
    ['active', [0, 2, 4]],
    ['silent', [1]],
    ['nonfinite', [3]],
  ] as const)('shows those that are %s', (show, maps) => {
    expect(orderMaps(5, STRENGTH, { ...everything, show })).toEqual(maps);
  });

  it('shows those that were asked for by number', () => {
    expect(orderMaps(5, STRENGTH, { ...everything, numbers: parseNumbers('4, 0-1') })).toEqual([0, 1, 4]);
  });
});

describe('parseNumbers', () => {
  it('reads an open range', () => {
    const { test, error } = parseNumbers(' 7- ');
    expect([6, 7, 7000].map(test)).toEqual([false, true, true]);
    expect(error).toBeNull();
  });

  it.each(['x', '-3', '3--4', '1.5'])('lets every map through and says why for %s', (text) => {
    const { test, error } = parseNumbers(text);
    expect(test(99)).toBe(true);
    expect(error).toContain('3, 8-15');
  });
});
