import { expect, test } from 'vitest';
import { around, nearestCode, SIDE } from './picking';

const MIDDLE = (SIDE - 1) / 2;

/** What was drawn around the pointer: codes at places from its middle. */
function drawn(...codes: readonly (readonly [code: number, right: number, up: number])[]): Uint8Array {
  const pixels = new Uint8Array(SIDE * SIDE * 4);
  for (const [code, right, up] of codes) {
    const at = 4 * ((MIDDLE + up) * SIDE + MIDDLE + right);
    pixels.set([code & 255, (code >> 8) & 255, code >> 16, 255], at);
  }
  return pixels;
}

test('finds the point under the pointer, else the nearest within reach', () => {
  expect(nearestCode(drawn([9, 0, 0], [8, 1, 0]), 1)).toBe(8);
  expect(nearestCode(drawn([9, 3, 3], [100_001, -2, 1]), 1)).toBe(100_000);
  expect(nearestCode(drawn([9, 4, 4]), 1)).toBeNull();
  expect(nearestCode(drawn([9, 4, 4]), 2)).toBe(8);
  expect(nearestCode(drawn(), 1)).toBeNull();
});

test('draws the pixels around the pointer', () => {
  const [x, y] = [130, 40];
  const matrix = around({ width: 300, height: 200, ratio: 2 }, x, y);
  const target = (right: number, up: number, depth: number) => {
    const clip = [right * depth, up * depth, 0, depth];
    return [0, 1].map(
      (row) => clip.reduce((sum, part, column) => sum + matrix[4 * column + row]! * part, 0) / depth,
    );
  };
  // The pointer in clip coordinates, and a place 10 CSS pixels to the right of it and 5 above.
  const [right, up] = [(2 * x) / 300 - 1, 1 - (2 * y) / 200];
  for (const depth of [1, 3.5]) {
    expect(target(right, up, depth)).toEqual([expect.closeTo(0, 9), expect.closeTo(0, 9)]);
    const beside = target(right + 20 / 300, up + 10 / 200, depth);
    expect(beside.map((part) => (part * SIDE) / 2)).toEqual([expect.closeTo(20, 9), expect.closeTo(10, 9)]);
  }
});
