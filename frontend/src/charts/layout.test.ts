import { describe, expect, it } from 'vitest';
import { blockNames } from './harness/data';
import { type LayoutOptions, LOWEST_ROW, layoutRows, rowAt, rowOf } from './layout';

const NOTHING: ReadonlySet<string> = new Set();

function layout(options: Partial<LayoutOptions>) {
  return layoutRows({ layers: blockNames(12, 3), folded: NOTHING, height: 600, selected: null, ...options });
}

describe('layoutRows', () => {
  it.each([
    [1, 1, null],
    [12, 3, 5],
    [60, 10, 300],
    [200, 10, 1999],
  ])('keeps %i × %i layers in order, apart and visible', (blocks, perBlock, selected) => {
    const layers = blockNames(blocks, perBlock);
    const { rows, height } = layout({ layers, selected });
    expect(rows.map((row) => row.members[0])).toEqual(layers.map((_, row) => row));
    for (const [index, row] of rows.entries()) {
      expect(row.height).toBeGreaterThanOrEqual(LOWEST_ROW - 1);
      if (index) expect(row.y).toBeGreaterThanOrEqual(rows[index - 1]!.y + rows[index - 1]!.height);
    }
    expect(height).toBe(rows.at(-1)!.y + rows.at(-1)!.height);
  });

  it('fills the height when rows fit, and no more', () => {
    const { height } = layout({ selected: 5 });
    expect(height).toBeLessThanOrEqual(600);
    expect(height).toBeGreaterThan(590);
  });

  it('scrolls rather than making rows that cannot be told apart', () => {
    expect(layout({ layers: blockNames(200, 10) }).height).toBeGreaterThan(6000);
  });

  it.each([
    [200, 10, null],
    [200, 10, 1999],
    [200, 10, 777],
    [60, 10, 0],
  ])(
    'shows %i × %i layers without scrolling where they must fit, each in one row',
    (blocks, perBlock, selected) => {
      const layers = blockNames(blocks, perBlock);
      for (const height of [120, 401, 600]) {
        const { rows, height: whole } = layout({ layers, selected, height, fits: true });
        expect(whole).toBeLessThanOrEqual(height);
        expect(rows.flatMap((row) => row.members)).toEqual(layers.map((_, row) => row));
        expect(Math.min(...rows.map((row) => row.height))).toBeGreaterThanOrEqual(LOWEST_ROW - 1);
        const chosen = rows.find((row) => selected !== null && row.members.includes(selected));
        if (chosen) expect([chosen.members, chosen.height >= 15]).toEqual([[selected], true]);
      }
    },
  );

  it('shares rows only where it has to', () => {
    expect(layout({ fits: true })).toEqual(layout({}));
  });

  it('makes the selected row readable', () => {
    const { rows } = layout({ layers: blockNames(60, 10), selected: 300 });
    expect(rows[300]!.height).toBeGreaterThanOrEqual(15);
    expect(rows[299]!.height).toBeLessThan(6);
  });

  it('does not blow up a single layer', () => {
    const { rows } = layout({ layers: [{ name: 'fc' }] });
    expect(rows).toHaveLength(1);
    expect(rows[0]!.height).toBeLessThan(40);
  });

  it('parts scopes by two or three pixels', () => {
    const { scopes } = layout({});
    const gaps = scopes.slice(1).map((scope, index) => scope.y - scopes[index]!.y - scopes[index]!.height);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(2);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(4);
  });

  it('shows a folded scope as one row of all its members', () => {
    const { rows, scopes } = layout({ folded: new Set(['blocks.3', 'stem']) });
    const folded = rows.filter((row) => row.folded);
    expect(folded.map((row) => row.members)).toEqual([[10, 11, 12]]);
    expect(scopes.find((scope) => scope.name === 'blocks.3')).toMatchObject({ folded: true, foldable: true });
    expect(scopes[0]).toMatchObject({ name: 'stem', folded: false, foldable: false });
  });

  it('shows only the rows that are asked for', () => {
    expect(layout({ rows: [4, 7] }).rows.map((row) => row.members)).toEqual([[4], [7]]);
    expect(layout({ rows: [] })).toEqual({ rows: [], scopes: [], height: 0 });
  });
});

describe('rowAt', () => {
  const placed = layout({});

  it('finds each row by its middle, and nothing in gaps and outside', () => {
    for (const [index, row] of placed.rows.entries())
      expect(rowAt(placed, row.y + row.height / 2)).toBe(index);
    expect(rowAt(placed, placed.scopes[1]!.y - 1)).toBe(-1);
    expect(rowAt(placed, -1)).toBe(-1);
    expect(rowAt(placed, placed.height)).toBe(-1);
  });

  it('finds the row of a layer, folded or not', () => {
    const folded = layout({ folded: new Set(['blocks.0']) });
    expect(rowOf(folded, 2)).toBe(1);
    expect(rowOf(folded, 4)).toBe(2);
    expect(rowOf(folded, null)).toBe(-1);
    expect(rowOf(folded, 999)).toBe(-1);
  });
});
