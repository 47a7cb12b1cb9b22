import { expect, test } from 'vitest';
import { extentBetween, extentOf, pointCount } from './extent';
import { cloud } from './testing';

const { NaN: nowhere, POSITIVE_INFINITY: infinite } = Number;

test('takes half the longer side in two dimensions, whatever is nowhere', () => {
  const positions = Float32Array.of(0, 10, nowhere, 900, 4, 11, infinite, 5, 2, 13);
  expect(extentOf(positions, 2)).toEqual({ centre: [2, 11.5, 0], radius: 2 });
});

test('takes a ball in three dimensions, so that it fits from every side', () => {
  const positions = Float32Array.of(0, 0, 0, 2, 4, 4, 1, nowhere, 1, 0, 0, infinite);
  expect(extentOf(positions, 3)).toEqual({ centre: [1, 2, 2], radius: 3 });
});

test('is none without points, and not empty around a single one', () => {
  expect(extentOf(Float32Array.of(nowhere, 1), 2)).toBeNull();
  expect(extentOf(new Float32Array(), 3)).toBeNull();
  expect(extentOf(Float32Array.of(3, 4), 2)).toEqual({ centre: [3, 4, 0], radius: 1 });
});

test('moves between two records, and is that of the other where one has no points', () => {
  const [small, large] = [
    { centre: [0, 0, 0], radius: 1 },
    { centre: [4, 8, 0], radius: 3 },
  ] as const;
  expect(extentBetween(small, large, 0.25)).toEqual({ centre: [1, 2, 0], radius: 1.5 });
  expect(extentBetween(null, large, 0)).toEqual(large);
  expect(extentBetween(small, null, 1)).toEqual(small);
});

test('counts the points of which everything is known', () => {
  const whole = cloud([1, 2, 3, 4, 5, 6]);
  expect(pointCount(whole)).toBe(3);
  expect(pointCount({ ...whole, shown: new Uint8Array(2) })).toBe(2);
  expect(pointCount({ ...whole, colour: new Uint8Array(7) })).toBe(1);
  expect(pointCount({ ...whole, to: new Float32Array() })).toBe(0);
});
