import { describe, expect, it } from 'vitest';
import { recordsBetween } from '../columns';
import { linearScale } from '../scale';
import { makeTheme } from '../theme';
import { besideLevel, freePlace } from './freePlace';
import { type LineScene, placeLines } from './scene';

const SIZE = { width: 40, height: 13 };

/** A curve of one record a pixel, 300 wide and 100 high. */
function scene(values: (step: number) => number): LineScene {
  const steps = Float64Array.from({ length: 300 }, (_, step) => step);
  const series = { label: '', steps, spans: new Float64Array(300).fill(1), values: [...steps].map(values) };
  return {
    theme: makeTheme(() => '#000'),
    width: 300,
    ratio: 1,
    plot: { left: 0, right: 300, top: 0, bottom: 100 },
    domain: [0, 300],
    scale: linearScale([0, 100]),
    lines: [{ series, columns: placeLines([series])[0]!, color: '#000' }],
    levels: [],
    marks: [],
    skips: [],
    selection: { row: null, step: null },
    axis: false,
    empty: '',
  };
}

describe('freePlace', () => {
  it('keeps off the curve', () => {
    const rising = freePlace(
      scene((step) => step / 3),
      150,
      50,
      SIZE,
      [],
    );
    expect(rising.left > 150 ? rising.top >= 50 : rising.top + SIZE.height <= 50).toBe(true);
    const flat = freePlace(
      scene(() => 50),
      150,
      50,
      SIZE,
      [],
    );
    expect(flat.top + SIZE.height <= 50 || flat.top >= 50).toBe(true);
  });

  it('keeps off other labels', () => {
    const flat = scene(() => 50);
    const first = freePlace(flat, 150, 50, SIZE, []);
    const second = freePlace(flat, 150, 52, SIZE, [first]);
    expect(second.left !== first.left || Math.abs(second.top - first.top) >= SIZE.height).toBe(true);
  });

  it('stays in the plot', () => {
    for (const x of [0, 1, 150, 299, 300])
      for (const y of [0, 50, 100]) {
        const { left, top } = freePlace(
          scene(() => 50),
          x,
          y,
          SIZE,
          [],
        );
        expect(left).toBeGreaterThanOrEqual(0);
        expect(left + SIZE.width).toBeLessThanOrEqual(300);
        expect(top + SIZE.height).toBeLessThanOrEqual(100);
      }
  });
});

describe('recordsBetween', () => {
  it('are those whose columns touch the steps', () => {
    const { columns } = scene(() => 0).lines[0]!;
    expect(recordsBetween(columns, 10.1, 12.2)).toEqual([10, 13]);
    expect(recordsBetween(columns, -9, 0.2)).toEqual([0, 1]);
    expect(recordsBetween(columns, 400, 500)).toEqual([300, 300]);
  });
});

describe('besideLevel', () => {
  it('stands above a level, and below one at the upper edge', () => {
    const plot = { top: 10 };
    expect(besideLevel(plot, 50)).toBeLessThan(50);
    for (const y of [10, 14, 17]) expect(besideLevel(plot, y)).toBeGreaterThan(y);
    expect(besideLevel(plot, 18)).toBe(10);
  });
});
