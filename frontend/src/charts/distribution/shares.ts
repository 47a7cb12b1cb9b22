/** Counts of magnitudes by power of two, as shares of what was sampled. */

import type { Domain } from '../types';

/** Where the bins are, as `/catalogue` sends it. */
export interface Bins {
  readonly lowest_exponent: number;
  readonly highest_exponent: number;
  readonly zero: number;
  readonly nonfinite: number;
  readonly below: number;
  readonly first: number;
  readonly above: number;
  readonly count: number;
}

export interface Shares {
  /** Elements that were counted. */
  readonly samples: number;
  /** Shares of all samples. */
  readonly zero: number;
  readonly nonfinite: number;
  /** Share of all samples at each exponent from `lowest_exponent - 1` (below) to `highest_exponent + 1` (above). */
  readonly byExponent: Float64Array;
}

/** A distribution narrower than this is drawn in this many bins. */
const NARROWEST = 16;

export function sharesOf(counts: ArrayLike<number>, bins: Bins): Shares {
  const samples = Array.from(counts).reduce((sum, count) => sum + count, 0);
  const share = (bin: number) => (samples ? (counts[bin] ?? 0) / samples : 0);
  const exponents = bins.highest_exponent - bins.lowest_exponent + 1;
  const byExponent = Float64Array.from({ length: exponents + 2 }, (_, place) =>
    share(place === 0 ? bins.below : place === exponents + 1 ? bins.above : bins.first + place - 1),
  );
  return { samples, zero: share(bins.zero), nonfinite: share(bins.nonfinite), byExponent };
}

/** First and last place to draw, so that all of `all` is seen. */
export function placesShown(all: readonly Shares[], length: number): Domain {
  let low = length;
  let high = -1;
  for (const { byExponent } of all)
    for (let place = 0; place < byExponent.length; place++)
      if (byExponent[place]! > 0) {
        low = Math.min(low, place);
        high = Math.max(high, place);
      }
  if (high < 0) [low, high] = [length - 40, length - 20];
  const lacking = Math.max(2, NARROWEST - (high - low + 1));
  const start = Math.max(0, low - (lacking >> 1));
  return [start, Math.min(length - 1, Math.max(high + 1, start + NARROWEST - 1))];
}

/** "2⁻¹⁸" */
export function powerWords(exponent: number): string {
  const digits = '⁰¹²³⁴⁵⁶⁷⁸⁹';
  return `2${[...String(exponent)].map((letter) => (letter === '-' ? '⁻' : digits[Number(letter)])).join('')}`;
}

/** What a place holds, in words. */
export function placeWords(place: number, bins: Bins): string {
  const exponent = bins.lowest_exponent + place - 1;
  if (exponent < bins.lowest_exponent) return `below ${powerWords(bins.lowest_exponent)}`;
  if (exponent > bins.highest_exponent) return `from ${powerWords(bins.highest_exponent + 1)}`;
  return `${powerWords(exponent)} to ${powerWords(exponent + 1)}`;
}
