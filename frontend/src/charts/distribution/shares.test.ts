import { describe, expect, it } from 'vitest';
import { BINS, counts } from '../harness/data';
import { placesShown, placeWords, powerWords, sharesOf } from './shares';

describe('sharesOf', () => {
  it('adds up to one', () => {
    const shares = sharesOf(counts(0.5, -20, 0.1), BINS);
    const sum = shares.zero + shares.nonfinite + shares.byExponent.reduce((a, b) => a + b, 0);
    expect(sum).toBeCloseTo(1, 12);
    expect(shares.zero).toBeCloseTo(0.5, 2);
  });

  it('keeps what is below and above the bins', () => {
    const bins = new Uint32Array(BINS.count);
    bins[BINS.below] = 3;
    bins[BINS.above] = 1;
    const { byExponent, samples } = sharesOf(bins, BINS);
    expect([samples, byExponent[0], byExponent.at(-1)]).toEqual([4, 0.75, 0.25]);
    expect(placesShown([sharesOf(bins, BINS)], byExponent.length)).toEqual([0, byExponent.length - 1]);
  });

  it('takes no samples', () => {
    const shares = sharesOf(new Uint32Array(BINS.count), BINS);
    expect(shares.samples).toBe(0);
    const [low, high] = placesShown([shares], shares.byExponent.length);
    expect(high - low).toBeGreaterThanOrEqual(15);
  });
});

describe('placesShown', () => {
  it('holds both distributions', () => {
    const both = [sharesOf(counts(0, -30), BINS), sharesOf(counts(0, 0), BINS)];
    const [low, high] = placesShown(both, 126);
    for (const { byExponent } of both)
      for (const [place, share] of byExponent.entries())
        if (share > 0) expect(place >= low && place <= high).toBe(true);
  });

  it('gives a single bin company', () => {
    const bins = new Uint32Array(BINS.count);
    bins[60] = 9;
    const [low, high] = placesShown([sharesOf(bins, BINS)], 126);
    expect(high - low).toBeGreaterThanOrEqual(15);
    expect(low).toBeLessThan(58);
    expect(high).toBeGreaterThan(58);
  });
});

describe('words', () => {
  it('raise the exponent', () => {
    expect(powerWords(-18)).toBe('2⁻¹⁸');
    expect(placeWords(1, BINS)).toBe('2⁻¹⁰⁴ to 2⁻¹⁰³');
    expect(placeWords(0, BINS)).toBe('below 2⁻¹⁰⁴');
    expect(placeWords(125, BINS)).toBe('from 2²⁰');
  });
});
