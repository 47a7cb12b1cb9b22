import { describe, expect, it } from 'vitest';
import { formatShare, formatSteps, formatStepTick, formatTick, formatValue } from './numbers';

describe('numbers in words', () => {
  it.each([
    [0, '0'],
    [0.34, '0.34'],
    [1.6e-5, '1.6e-5'],
    [12.5, '13'],
    [1234, '1,234'],
    [12_345, '12,345'],
    [99_999.6, '100,000'],
    [1e7, '1e7'],
    [6.18e7, '6.2e7'],
    [-0.5, '−0.5'],
    [-1234, '−1,234'],
    [Math.fround(0.01), '0.01'],
    [0.0029, '0.0029'],
    [0.001, '0.001'],
    [1.2e-5, '1.2e-5'],
    [9.99e-4, '0.001'],
    [Number.NaN, 'NaN'],
    [Number.POSITIVE_INFINITY, '∞'],
    [Number.NEGATIVE_INFINITY, '−∞'],
  ])('value %d is %s', (value, words) => {
    expect(formatValue(value)).toBe(words);
  });

  it('gives no more digits than were asked for, nor zeros to fill them', () => {
    expect([0.1, 0.10004, 1, 3.676, 20.64].map((value) => formatValue(value, 3))).toEqual([
      '0.1',
      '0.1',
      '1',
      '3.68',
      '20.6',
    ]);
  });

  it.each([
    [0, '0'],
    [800, '800'],
    [1000, '1k'],
    [1500, '1.5k'],
    [2e6, '2M'],
    [-20, '−20'],
  ])('step %d is %s on an axis', (step, words) => {
    expect(formatStepTick(step)).toBe(words);
  });

  it.each([
    [100_000, '1e5'],
    [-100_000, '−1e5'],
    [123_456, '123,456'],
    [1e-9, '1e-9'],
    [1e-3, '0.001'],
    [1e-4, '1e-4'],
    [0.01, '0.01'],
    [0.005, '0.005'],
    [0.30000000000000004, '0.3'],
    [1, '1'],
    [-1, '−1'],
    [1000, '1,000'],
    [1500.5, '1,500.5'],
  ])('tick %d is %s', (value, words) => {
    expect(formatTick(value)).toBe(words);
  });

  it.each([
    [0, '0 %'],
    [1, '100 %'],
    [0.953, '95.3 %'],
    [0.5, '50 %'],
    [1e-6, '< 0.1 %'],
    [0.99999, '> 99.9 %'],
  ])('share %d is %s', (share, words) => {
    expect(formatShare(share)).toBe(words);
  });

  it('says one step or several', () => {
    expect(formatSteps(1240)).toBe('1,240');
    expect(formatSteps(1240, 1259)).toBe('1,240–1,259');
  });
});
