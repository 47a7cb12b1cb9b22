import { describe, expect, it } from 'vitest';
import { COLORS } from '../codes';
import { byteColours, colourDomain, legendScale, unionOf } from './domain';
import { inputPixels } from './inputPixels';
import { layoutTiles, tileAt, tilePlace, tilesInView } from './layout';
import { paintMap } from './paintMap';
import { type MapPane, type MapPicture, stateOf } from './types';
import { mapsTable, mapWords, rangeWords, valueAt, valueWords } from './words';

const map = (pixels: number[], width: number, low = 0, high = 255, nonfinite = 0): MapPicture => ({
  pixels: Uint8Array.from(pixels),
  width,
  height: pixels.length / width,
  low,
  high,
  nonfinite,
});
const IDENTITY = Uint32Array.from({ length: 256 }, (_, byte) => byte);

describe('paintMap', () => {
  it('repeats values in a larger box', () => {
    expect([...paintMap(map([1, 2, 3, 4], 2), IDENTITY, 4, 4)]).toEqual([
      1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4,
    ]);
  });

  it('averages them in a smaller one', () => {
    expect([...paintMap(map([0, 10, 20, 30, 40, 50, 60, 70], 4), IDENTITY, 2, 1)]).toEqual([25, 45]);
  });

  it('shows every value where the box is not a multiple of the map', () => {
    expect([...paintMap(map([7, 8, 9], 3), IDENTITY, 5, 1)]).toEqual([7, 7, 8, 8, 9]);
  });

  it('paints nothing of a map without values', () => {
    expect([...paintMap({ ...map([], 1), height: 0 }, IDENTITY, 2, 1)]).toEqual([0, 0]);
  });
});

describe('colours', () => {
  it('put zero in the middle of signed values', () => {
    const domain = colourDomain([-1, 3], true);
    expect(domain).toEqual([-3, 3]);
    const colours = byteColours(-3, 3, domain);
    expect(colours[0]).toBe(0);
    expect(colours[255]).toBe(COLORS - 1);
    expect(Math.abs(colours[128]! - (COLORS - 1) / 2)).toBeLessThan(3);
  });

  it('use the whole palette for a map over its own range, and a part of it over a wider one', () => {
    expect([byteColours(2, 4, [2, 4])[0], byteColours(2, 4, [2, 4])[255]]).toEqual([0, COLORS - 1]);
    expect(byteColours(2, 4, [0, 8])[255]).toBe(Math.round((COLORS - 1) / 2));
  });

  it('leave out of a range what is not finite', () => {
    expect(unionOf([Number.NaN, Number.NaN, 1, 2], [-1, 0])).toEqual([-1, 2]);
    expect(unionOf([Number.NaN, Number.NaN])).toBeNull();
    expect(unionOf([0, Number.POSITIVE_INFINITY])).toBeNull();
  });

  it('have a legend that can be read', () => {
    const scale = legendScale([-1.23456, 1.23456], true);
    expect(scale.domain).toEqual([-1.23, 1.23]);
    expect(scale.kind).toBe('signed');
    expect(legendScale([7.65e-15, 0.712], false).domain).toEqual([0, 0.712]);
    expect(legendScale([2e-9, 4e-9], false).domain).toEqual([2e-9, 4e-9]);
  });
});

describe('stateOf', () => {
  it.each([
    [0, 1, 'varies'],
    [2, 2, 'constant'],
    [Number.NaN, Number.NaN, 'nonfinite'],
    [0, Number.POSITIVE_INFINITY, 'nonfinite'],
  ] as const)('calls %d to %d %s', (low, high, state) => {
    expect(stateOf({ low, high })).toBe(state);
  });
});

describe('layoutTiles', () => {
  const request = { width: 1000, height: 600, panes: 1, tiles: 64, aspect: 1, size: 'medium' } as const;

  it('shows all tiles at once where it may choose, as large as they can be', () => {
    const fitted = layoutTiles({ ...request, size: 'fit' });
    expect(fitted.content).toBeLessThanOrEqual(600);
    expect(fitted.width).toBeGreaterThan(60);
    expect(layoutTiles({ ...request, size: 'fit', tiles: 4 }).width).toBeGreaterThan(fitted.width);
  });

  it('scrolls rather than making tiles too small to see', () => {
    const layout = layoutTiles({ ...request, size: 'fit', tiles: 5000 });
    expect(layout.width).toBe(64);
    expect(layout.content).toBeGreaterThan(600);
    expect(layout.columns * layout.rows).toBeGreaterThanOrEqual(5000);
  });

  it.each([1, 2])('finds each tile where it stands, with %i panes', (panes) => {
    const layout = layoutTiles({ ...request, panes });
    for (let pane = 0; pane < panes; pane++)
      for (const tile of [0, 5, 63]) {
        const [x, y] = tilePlace(layout, pane, tile);
        expect(tileAt(layout, x + 1, y + 1)).toBe(tile);
        expect(x + layout.width).toBeLessThanOrEqual(1000);
      }
    expect(tileAt(layout, -1, 5)).toBe(-1);
    expect(tileAt(layout, 5, layout.content + 5)).toBe(-1);
  });

  it('keeps a long sequence within its room', () => {
    const layout = layoutTiles({ ...request, width: 300, tiles: 1, aspect: 100, size: 'large' });
    expect(layout.width).toBeLessThanOrEqual(300);
    expect(layout.height).toBeGreaterThan(20);
  });

  it('draws only what is in sight', () => {
    const layout = layoutTiles({ ...request, tiles: 10000 });
    const [from, to] = tilesInView(layout, 10 * layout.pitchY + 5, 600);
    expect(from).toBe(10 * layout.columns);
    expect(to - from).toBeLessThan(10 * layout.columns);
    expect(tilesInView(layout, layout.content, 600)).toEqual([10000, 10000]);
  });

  it('has room for nothing in a tab that is not seen', () => {
    expect(layoutTiles({ ...request, width: 0, height: 0, size: 'fit' }).columns).toBe(1);
  });
});

describe('words', () => {
  const pane = (title: string, ...maps: (MapPicture | null)[]): MapPane => ({
    title,
    count: maps.length,
    height: 1,
    width: 1,
    map: (index) => maps[index] ?? null,
    strength: Float32Array.from(maps, (_, index) => index / 2),
    trouble: '',
  });
  const one = pane('step 1', map([0, 255], 2, -1, 1), map([0, 0], 2, 3, 3), null);

  it('say the range and the strength of a map', () => {
    expect(mapWords([one], 'channel', 0)).toBe('channel 0 · −1 to 1 · strength 0');
    expect(mapWords([one], 'channel', 1)).toBe('channel 1 · constant 3 · strength 0.5');
    expect(mapWords([one], 'channel', 2)).toBe('channel 2 · not loaded yet · strength 1');
  });

  it('say both sides of a comparison', () => {
    const other = pane('step 9', map([0, 0], 2, Number.NaN, Number.NaN));
    expect(mapWords([one, other], 'head', 0)).toBe(
      'head 0 · step 1: −1 to 1 · strength 0 · step 9: NaN or infinite · strength 0',
    );
    expect(mapWords([one, other], 'head', 1)).toContain('step 9: there is no such map');
  });

  it('make a table in the order that is shown', () => {
    const table = mapsTable([one], [2, 1]);
    expect(table.columns).toEqual(['map', 'min', 'max', 'strength', 'not finite']);
    expect([table.row(0), table.row(1)]).toEqual([
      [2, null, null, 1, null],
      [1, 3, 3, 0.5, 0],
    ]);
  });

  it('count the values that are not finite, as far as that is known', () => {
    const partly = map([0, 0, 255, 9], 2, -1, 1, 1);
    expect(rangeWords(partly)).toBe('−1 to 1, 1 not finite');
    expect(rangeWords(map([0, 255], 2, -1, 1, Number.NaN))).toBe('−1 to 1');
    expect(rangeWords(map([0, 0], 2, Number.NaN, Number.NaN, 2))).toBe('NaN or infinite');
    expect([valueWords(partly, 1, 0), valueWords(partly, 0, 1)]).toEqual(['−1, or not finite', '1']);
    const table = mapsTable([pane('step 1', partly, map([0], 1, 1, 2, Number.NaN))], [0, 1]);
    expect([table.row(0)[4], table.row(1)[4]]).toEqual([1, null]);
  });

  it('tell a value by its byte', () => {
    expect(valueAt(map([0, 51, 102, 255], 2, -1, 4), 1, 0)).toBeCloseTo(0);
    expect(valueAt(map([0, 51, 102, 255], 2, -1, 4), 1, 1)).toBe(4);
  });
});

describe('inputPixels', () => {
  it('makes grey of one channel and colours of three', () => {
    const grey = { count: 2, height: 1, width: 1, channels: 1, pixels: Uint8Array.from([9, 7]) };
    expect([...inputPixels(grey, 1)]).toEqual([7, 7, 7, 255]);
    const colour = { count: 1, height: 1, width: 1, channels: 3, pixels: Uint8Array.from([1, 2, 3]) };
    expect([...inputPixels(colour, 0)]).toEqual([1, 2, 3, 255]);
  });
});
