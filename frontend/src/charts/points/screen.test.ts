import { expect, test } from 'vitest';
import { random } from '../harness/data';
import { HOME, projection } from './camera';
import { extentOf } from './extent';
import { insideOf, lassoed, locator } from './screen';
import { cloud } from './testing';
import type { CameraState, CloudData } from './types';

const BOX = { width: 400, height: 300 };
const SQUARE = [100, 50, 300, 50, 300, 250, 100, 250];
const UNIT = { centre: [0, 0, 0], radius: 1 } as const;

const locate = (data: CloudData, view: CameraState = HOME) =>
  locator(data, UNIT, projection(view, data.dims, BOX), BOX);

test('finds points between two records', () => {
  const data = cloud([-1, 0], { to: Float32Array.of(0, 1) });
  expect(locate(data)(0)).toEqual([expect.closeTo(68, 3), expect.closeTo(150, 3)]);
  expect(locate({ ...data, mix: 0.5 })(0)).toEqual([expect.closeTo(134, 3), expect.closeTo(84, 3)]);
  expect(locate({ ...data, mix: 1 })(0)).toEqual([expect.closeTo(200, 3), expect.closeTo(18, 3)]);
});

test('finds points in any coordinates', () => {
  const data = cloud([1000, -50, 1200, 0, 1100, -25]);
  const place = locator(data, extentOf(data.from, 2)!, projection(HOME, 2, BOX), BOX);
  expect(place(2)).toEqual([expect.closeTo(200, 3), expect.closeTo(150, 3)]);
  expect(place(0)).toEqual([expect.closeTo(68, 3), expect.closeTo(183, 3)]);
});

test('does not find what is nowhere, except in the record that has it', () => {
  const data = cloud([Number.NaN, 0], { to: Float32Array.of(0, 0) });
  expect([0, 0.5, 1].map((mix) => locate({ ...data, mix })(0) !== null)).toEqual([false, false, true]);
  expect(locate(data)(7)).toBeNull();
});

test('does not find what is behind the eye', () => {
  const near = { ...HOME, azimuth: 0, elevation: 0, zoom: 7 };
  const data = cloud([0, 0, 0.9, 0, 0, 0], { dims: 3 });
  expect([0, 1].map((index) => locate(data, near)(index) !== null)).toEqual([false, true]);
});

test('a lasso holds what is shown inside it, wherever the picture has moved', () => {
  const data = cloud([0, 0, 1, 1, 0, 0.1, Number.NaN, 0, 0.1, 0], { shown: Uint8Array.of(1, 1, 0, 1, 1) });
  expect([...lassoed(SQUARE, data, locate(data))]).toEqual([0, 4]);
  const moved = { ...HOME, x: 1, y: 1, zoom: 4 };
  expect([...lassoed(SQUARE, data, locate(data, moved))]).toEqual([1]);
  expect([...lassoed([], data, locate(data))]).toEqual([]);
});

test('is inside where the angles to the corners sum to a whole turn', () => {
  const uniform = random(3);
  const corners = Array.from({ length: 9 }, (_, corner) => {
    const [angle, radius] = [(corner / 9) * 2 * Math.PI, 20 + 80 * uniform()];
    return [100 + radius * Math.cos(angle), 100 + radius * Math.sin(angle)] as const;
  });
  const isInside = insideOf(corners.flat());
  const turn = (x: number, y: number) =>
    corners.reduce((sum, [x1, y1], corner) => {
      const [x2, y2] = corners[(corner + 1) % corners.length]!;
      const [a, b] = [
        [x1 - x, y1 - y],
        [x2 - x, y2 - y],
      ] as const;
      return sum + Math.atan2(a[0]! * b[1]! - a[1]! * b[0]!, a[0]! * b[0]! + a[1]! * b[1]!);
    }, 0);
  let held = 0;
  for (let point = 0; point < 2000; point++) {
    const [x, y] = [200 * uniform(), 200 * uniform()];
    if (isInside(x, y)) held++;
    expect(isInside(x, y)).toBe(Math.abs(turn(x, y)) > Math.PI);
  }
  expect(held).toBeGreaterThan(100);
});
