/** What happened between the backward pass and the optimizer's step: clipping, and steps that a loss scaler left out. */
import { computed } from '@preact/signals';
import type { Domain, Skip } from '../charts/types';
import type { Metric } from '../data/types';
import { metrics } from './store';

export interface Clipped {
  /** Share of the steps in which gradients were made smaller. */
  readonly share: number;
  /** Observed steps of which that is known. */
  readonly steps: number;
}

export const skips = computed<readonly Skip[]>(() => skipsOf(metrics.value.value ?? []));

export const clipped = computed<Clipped | null>(() => clippedOf(metrics.value.value ?? []));

/** The steps left out in increasing order; neighbours are one. */
export function skipsOf(all: readonly Metric[]): Skip[] {
  const found = all.filter(({ role }) => role === 'skipped').flatMap(recordsOf);
  const joined: Skip[] = [];
  for (const skip of found.sort((a, b) => a.first - b.first)) {
    const before = joined.at(-1);
    if (before && before.last + 1 === skip.first && isWhole(before) && isWhole(skip))
      joined[joined.length - 1] = { ...before, last: skip.last, count: before.count + skip.count };
    else joined.push(skip);
  }
  return joined;
}

function recordsOf({ steps, spans, observations }: Metric): Skip[] {
  return Array.from(steps, (last, record) => ({
    first: last - Math.max(1, spans[record] || 1) + 1,
    last,
    count: observations[record]!,
  }));
}

const isWhole = ({ first, last, count }: Skip) => count === last - first + 1;

/** The steps of `domain` and of all that were left out. */
export function widened([low, high]: Domain, skips: readonly Skip[]): Domain {
  const first = skips[0]?.first ?? Number.POSITIVE_INFINITY;
  const last = skips.at(-1)?.last ?? Number.NEGATIVE_INFINITY;
  return [Math.min(low, first - 0.5), Math.max(high, last + 0.5)];
}

/** In how many of the observed steps gradients were clipped; null where nothing clips. */
export function clippedOf(all: readonly Metric[]): Clipped | null {
  let steps = 0;
  let sum = 0;
  for (const { role, mean, observations } of all)
    if (role === 'clipped')
      for (const [record, count] of observations.entries()) {
        steps += count;
        sum += count * mean[record]!;
      }
  return steps === 0 ? null : { share: sum / steps, steps };
}
