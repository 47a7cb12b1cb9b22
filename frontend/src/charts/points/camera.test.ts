import { expect, test } from 'vitest';
import { HOME, panned, projection, turned, zoomed } from './camera';
import { afterKey } from './keys';
import type { CameraState, Dims } from './types';

const BOX = { width: 800, height: 500 };
const FRONT: CameraState = { ...HOME, azimuth: 0, elevation: 0 };

/** Pixels from the upper left corner. */
function pixels(state: CameraState, dims: Dims, [x, y, z]: readonly [number, number, number]) {
  const matrix = projection(state, dims, BOX);
  const clip = [0, 1, 2, 3].map(
    (row) => matrix[row]! * x + matrix[4 + row]! * y + matrix[8 + row]! * z + matrix[12 + row]!,
  );
  const [right, up] = [clip[0]! / clip[3]!, clip[1]! / clip[3]!];
  return {
    x: ((right + 1) / 2) * BOX.width,
    y: ((1 - up) / 2) * BOX.height,
    depth: clip[2]! / clip[3]!,
    near: clip[3]!,
  };
}

test('fits the extent into the shorter side, upright and undistorted', () => {
  const [middle, right, top] = [
    [0, 0, 0],
    [1, 0, 0],
    [0, 1, 0],
  ].map((point) => pixels(FRONT, 2, point as [number, number, number]));
  expect(middle).toMatchObject({ x: 400, y: 250 });
  expect(right!.x - 400).toBeCloseTo(220, 3);
  expect(250 - top!.y).toBeCloseTo(220, 3);
});

test('keeps what is in the middle in its place and size from two to three dimensions', () => {
  const flat = pixels(FRONT, 2, [0.3, -0.4, 0]);
  const solid = pixels(FRONT, 3, [0.3, -0.4, 0]);
  expect(solid.x).toBeCloseTo(flat.x, 3);
  expect(solid.y).toBeCloseTo(flat.y, 3);
});

test('shows what is near larger, and before what is far', () => {
  const near = pixels(FRONT, 3, [0.5, 0, 0.8]);
  const far = pixels(FRONT, 3, [0.5, 0, -0.8]);
  expect(near.x).toBeGreaterThan(far.x);
  expect(near.depth).toBeLessThan(far.depth);
  expect(near.near).toBeLessThan(far.near);
});

test('sees the whole ball from every side', () => {
  for (const azimuth of [0, 1, 2, 3, 4, 5])
    for (const elevation of [-1.5, -0.5, 0.5, 1.5])
      for (const point of [
        [1, 0, 0],
        [0, -1, 0],
        [0, 0, 1],
        [0.57, 0.57, -0.57],
      ] as const) {
        const place = pixels({ ...FRONT, azimuth, elevation }, 3, point);
        expect(Math.abs(place.depth)).toBeLessThanOrEqual(1);
        expect(place.y).toBeGreaterThanOrEqual(0);
        expect(place.y).toBeLessThanOrEqual(BOX.height);
      }
});

test.each([2, 3] as const)('what is under the pointer follows a drag, in %i dimensions', (dims) => {
  const state = { ...HOME, x: 0.2, y: -0.1, zoom: 2.5 };
  const before = pixels(state, dims, [state.x, state.y, state.z]);
  const after = pixels(panned(state, dims, BOX, 60, -35), dims, [state.x, state.y, state.z]);
  expect(after.x - before.x).toBeCloseTo(60, 3);
  expect(after.y - before.y).toBeCloseTo(-35, 3);
});

test('zooming keeps what is under the pointer', () => {
  const state = { ...FRONT, x: 0.2, zoom: 2 };
  const point = [0.5, 0.3, 0] as const;
  const before = pixels(state, 2, point);
  const after = pixels(zoomed(state, 2, BOX, 3, before.x - 400, before.y - 250), 2, point);
  expect(after.x).toBeCloseTo(before.x, 3);
  expect(after.y).toBeCloseTo(before.y, 3);
});

test('dragging to the right and down turns the front that way', () => {
  const front = [0, 0, 1] as const;
  const before = pixels(FRONT, 3, front);
  const after = pixels(turned(FRONT, BOX, 40, 30), 3, front);
  expect(after.x).toBeGreaterThan(before.x);
  expect(after.y).toBeGreaterThan(before.y);
});

test('stays where points can be found again', () => {
  let state: CameraState = HOME;
  for (let press = 0; press < 200; press++) state = zoomed(panned(state, 2, BOX, 500, 500), 2, BOX, 0.5);
  expect(state.zoom).toBeGreaterThan(0.1);
  expect(Math.hypot(state.x, state.y)).toBeLessThan(4);
  expect(turned(FRONT, BOX, 0, 1e6).elevation).toBeCloseTo(Math.PI / 2);
});

test('keys move, turn, zoom and reset, and leave the others to the page', () => {
  const press = (key: string, dims: Dims, shiftKey = false) =>
    afterKey({ key, shiftKey }, { ...FRONT, zoom: 2 }, dims, BOX);
  expect(press('ArrowRight', 2)).toMatchObject({ y: 0, zoom: 2 });
  expect(press('ArrowRight', 2)!.x).toBeGreaterThan(0);
  expect(press('ArrowUp', 2)!.y).toBeGreaterThan(0);
  expect(press('ArrowRight', 3)).toMatchObject({ x: 0, y: 0 });
  expect(press('ArrowRight', 3)!.azimuth).toBeGreaterThan(0);
  expect(press('ArrowRight', 3, true)!.x).toBeGreaterThan(0);
  expect(press('+', 2)!.zoom).toBeGreaterThan(2);
  expect(press('-', 3)!.zoom).toBeLessThan(2);
  expect(press('0', 3)).toEqual(HOME);
  expect(press('t', 2)).toBeNull();
});
