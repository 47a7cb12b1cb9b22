import { describe, expect, it } from 'vitest';
import type { MapPage, PageQuery } from '../data/maps';
import { scaleOf } from './maps-scale';
import { Seen, strengthCurve } from './maps-seen';

const place = { run: 'r', probe: 'p', map: 0, sample: 0 };

/** Maps of the ranges `pairs`, from `first` on, out of `total`. */
function page(first: number, total: number, ...pairs: [number, number][]): MapPage {
  return {
    first,
    count: pairs.length,
    height: 1,
    width: 1,
    pixels: new Uint8Array(pairs.length),
    ranges: Float32Array.from(pairs.flat()),
    nonfinite: new Float32Array(pairs.length),
    strength: Float32Array.from({ length: total }, (_, index) => index),
  };
}

function seenPages(...pages: [step: number, page: MapPage][]) {
  const seen = new Seen();
  for (const [step, content] of pages)
    seen.add({ ...place, step, first: content.first, count: content.count } as PageQuery, content);
  return seen;
}

const finite = (domain: readonly number[] | null) => domain && [...domain].map((value) => Math.fround(value));

describe('scaleOf', () => {
  const seen = seenPages([1, page(0, 3, [0, 1], [0, 4])], [2, page(0, 3, [0, 8], [0, 0])]).of(place);

  it('gives each map its own range', () => {
    const scale = scaleOf('map', [{ seen, step: 1 }]);
    expect(scale.signed).toBe(false);
    expect(finite(scale.domain(0))).toEqual([0, 1]);
    expect(finite(scale.domain(1))).toEqual([0, 4]);
    expect(scale.domain(2)).toBeNull();
  });

  it('gives a step one range, and says over how many maps', () => {
    const scale = scaleOf('step', [{ seen, step: 1 }]);
    expect(finite(scale.domain(0))).toEqual([0, 4]);
    expect(scale.over.maps).toBe(2);
  });

  it('gives all steps that were loaded one range, and says how many those are', () => {
    const scale = scaleOf('steps', [{ seen, step: 1 }]);
    expect(finite(scale.domain(1))).toEqual([0, 8]);
    expect(scale.over.steps).toBe(2);
  });

  it('gives two sides the same colours', () => {
    const sides = [
      { seen, step: 1 },
      { seen, step: 2 },
    ];
    expect(finite(scaleOf('map', sides).domain(0))).toEqual([0, 8]);
    expect(finite(scaleOf('step', sides).domain(0))).toEqual([0, 8]);
  });

  it('puts zero in the middle where values have both signs, for every map alike', () => {
    const signed = seenPages([1, page(0, 2, [-1, 3], [0, 2])]).of(place);
    const scale = scaleOf('map', [{ seen: signed, step: 1 }]);
    expect(scale.signed).toBe(true);
    expect(finite(scale.domain(0))).toEqual([-3, 3]);
    expect(finite(scale.domain(1))).toEqual([-2, 2]);
  });

  it('leaves out what is not finite', () => {
    const ill = seenPages([1, page(0, 2, [Number.NaN, Number.NaN], [1, 2])]).of(place);
    const scale = scaleOf('step', [{ seen: ill, step: 1 }]);
    expect(finite(scale.domain(0))).toEqual([1, 2]);
  });

  it('knows nothing of what was not loaded', () => {
    expect(scaleOf('step', [{ seen, step: 99 }]).domain(0)).toBeNull();
  });
});

describe('Seen', () => {
  it('counts a page that came twice once', () => {
    const seen = seenPages([1, page(0, 4, [0, 1])], [1, page(2, 4, [0, 2], [0, 3])], [1, page(0, 4, [0, 1])]);
    expect(seen.of(place).get(1)).toMatchObject({ loaded: 3 });
    expect([...seen.of(place).get(1)!.ranges]).toEqual([0, 1, Number.NaN, Number.NaN, 0, 2, 0, 3]);
  });

  it('tells a map over the steps seen, in order', () => {
    const seen = seenPages([30, page(0, 2, [0, 1])], [4, page(0, 2, [0, 1])], [100, page(0, 2, [0, 1])]);
    const curve = strengthCurve(seen.of(place), 1);
    expect([...curve.steps]).toEqual([4, 30, 100]);
    expect([...curve.values]).toEqual([1, 1, 1]);
  });
});
