/** What is known of maps that were loaded, after their pictures are gone: strengths and ranges, step by step. */
import type { MapPage, PageQuery } from '../data/maps';

/** Of one module for one input at one step. */
export interface SeenStep {
  /** Of every map. */
  readonly strength: Float32Array;
  /** [maps, 2] Lowest and highest value; NaN of those that were not loaded or are not finite. */
  readonly ranges: Float32Array;
  /** How many maps were loaded. */
  readonly loaded: number;
}

export type SeenSteps = ReadonlyMap<number, SeenStep>;

/** A module's maps for one input. */
export type Place = Pick<PageQuery, 'run' | 'probe' | 'map' | 'sample'>;

/** Of so many places; the one that was not added to for longest goes. */
const KEPT = 64;
const NONE: SeenSteps = new Map();

export class Seen {
  readonly #places = new Map<string, Map<number, SeenStep & { readonly firsts: Set<number> }>>();

  add(query: PageQuery, page: MapPage): void {
    const key = keyOf(query);
    const steps = this.#places.get(key) ?? new Map();
    const { strength } = page;
    const known = steps.get(query.step) ?? {
      ranges: new Float32Array(2 * strength.length).fill(Number.NaN),
      loaded: 0,
      firsts: new Set(),
    };
    known.ranges.set(page.ranges, 2 * page.first);
    const loaded = known.loaded + (known.firsts.has(page.first) ? 0 : page.count);
    steps.set(query.step, { ...known, strength, loaded, firsts: known.firsts.add(page.first) });
    this.#places.delete(key);
    this.#places.set(key, steps);
    for (const oldest of this.#places.keys()) {
      if (this.#places.size <= KEPT) break;
      this.#places.delete(oldest);
    }
  }

  of(place: Place): SeenSteps {
    return this.#places.get(keyOf(place)) ?? NONE;
  }

  clear(): void {
    this.#places.clear();
  }
}

/** One map's strength over the steps seen, in their order; NaN where it is not finite. */
export function strengthCurve(
  seen: SeenSteps,
  map: number,
): { readonly steps: Float64Array; readonly values: Float32Array } {
  const steps = Float64Array.from(seen.keys()).sort();
  return { steps, values: Float32Array.from(steps, (step) => seen.get(step)!.strength[map] ?? Number.NaN) };
}

export function keyOf({ run, probe, map, sample }: Place): string {
  return JSON.stringify([run, probe, map, sample]);
}
