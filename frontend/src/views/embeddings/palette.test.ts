import { describe, expect, it } from 'vitest';
import type { Rgb } from '../../charts/color';
import { DISTINCT, groupColours, oklch } from './palette';

const BASE: Rgb[] = [
  [0, 114, 178],
  [230, 159, 0],
];

const luminance = (colour: Rgb) => {
  const [r, g, b] = colour.map((byte) => {
    const share = byte / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (a: number, b: number) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
const distance = (a: Rgb, b: Rgb) => Math.hypot(...a.map((byte, index) => byte - b[index]!));

describe('colours of groups', () => {
  it('are those that are known as far as these go', () => {
    expect(groupColours(2, BASE, false)).toEqual(BASE);
    expect(groupColours(1, BASE, true)).toEqual(BASE.slice(0, 1));
  });

  it.each([3, 10, 12, 13, DISTINCT])('of %i are all told apart', (count) => {
    for (const dark of [false, true]) {
      const colours = groupColours(count, BASE, dark);
      for (const [at, one] of colours.entries())
        for (const other of colours.slice(at + 1)) expect(distance(one, other)).toBeGreaterThan(28);
    }
  });

  it('of 10,000 are there, and neighbours differ', () => {
    const colours = groupColours(10_000, BASE, false);
    expect(colours).toHaveLength(10_000);
    for (let at = 1; at < 200; at++) expect(distance(colours[at]!, colours[at - 1]!)).toBeGreaterThan(60);
  });

  it.each([
    [false, 1],
    [true, luminance([48, 48, 48])],
  ])('stand out from the page (dark: %s)', (dark, page) => {
    for (const colour of groupColours(DISTINCT, BASE, dark))
      expect(contrast(luminance(colour), page)).toBeGreaterThan(1.9);
  });
});

describe('oklch', () => {
  it.each([
    [1, 0, 0, [255, 255, 255]],
    [0, 0, 0, [0, 0, 0]],
    // The red, green and blue of a screen, by the definition of OKLab.
    [0.627955, 0.257683, 29.2339, [255, 0, 0]],
    [0.86644, 0.294827, 142.4953, [0, 255, 0]],
    [0.452014, 0.313214, 264.052, [0, 0, 255]],
  ] as const)('%d %d %d', (lightness, chroma, hue, expected) => {
    expect(oklch(lightness, chroma, hue)).toEqual(expected);
  });
});
