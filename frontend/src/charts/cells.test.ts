import { describe, expect, it } from 'vitest';
import { paintCells } from './cells';
import { CODE, COLORS, encode, foldCodes, meanCode, worstMember } from './codes';
import { parseColor, pixel } from './color';
import { placeColumns } from './columns';
import { dyingNetwork, uniformMatrix } from './harness/data';
import { layoutRows } from './layout';
import { pixelCodes, pixelColumns } from './pixels';
import { valueScale } from './scale';
import { makeTheme, type Theme } from './theme';
import { type Domain, type Matrix, STATE } from './types';

const COLORS_OF_PAGE: Record<string, string> = {
  'cell-zero': '#fefefe',
  'cell-zero-mark': '#010101',
  'cell-nan': '#d55e00',
  'cell-nan-mark': '#ffffff',
  'cell-missing': '#f3f4f6',
  'cell-missing-mark': '#b4bac4',
  'viridis-0': '#440154',
  'viridis-8': '#fde725',
  'text-3': '#68707c',
};
const theme: Theme = makeTheme((name) => COLORS_OF_PAGE[name] ?? '#123456');
const log = valueScale('log');

function matrix(values: number[], states = values.map((): number => STATE.number)): Matrix {
  return {
    ...uniformMatrix(1, values.length, 0),
    values: Float32Array.from(values),
    states: Uint8Array.from(states),
  };
}

function onPixels(codes: number[], width: number): number[] {
  const columns = placeColumns(Float64Array.from(codes.keys()), new Float64Array(codes.length).fill(1));
  const row = Uint16Array.from(codes);
  const out = new Uint16Array(width);
  pixelCodes(row, pixelColumns(columns, [-0.5, codes.length - 0.5], width), meanCode(row), out);
  return [...out];
}

describe('encode', () => {
  it('gives numbers a place and everything else a mark', () => {
    const { notRecorded, noGradient, nonfinite, number } = STATE;
    const codes = encode(
      matrix(
        [1e-9, 1, 0, Number.NaN, 5, 5, 5],
        [number, number, number, number, notRecorded, noGradient, nonfinite],
      ),
      log,
    );
    expect([...codes]).toEqual([
      0,
      COLORS - 1,
      CODE.zero,
      CODE.nonfinite,
      CODE.missing,
      CODE.noGradient,
      CODE.nonfinite,
    ]);
  });

  it('keeps what leaves the scale at its ends', () => {
    expect([...encode(matrix([1e-30, 1e9]), log)]).toEqual([0, COLORS - 1]);
  });

  it('takes zero for a number where it is one', () => {
    expect([...encode(matrix([0, 1]), valueScale('fraction'))]).toEqual([0, COLORS - 1]);
    expect([...encode(matrix([-1, 1]), valueScale('signed'))]).toEqual([0, COLORS - 1]);
  });
});

describe('pixelCodes', () => {
  it.each([CODE.nonfinite, CODE.zero])('never lets mark %i vanish among a thousand records', (mark) => {
    for (const place of [0, 1, 499, 998, 999]) {
      const codes = new Array<number>(1000).fill(500);
      codes[place] = mark;
      expect(onPixels(codes, 40)).toContain(mark);
    }
  });

  it('shows a spike and a dip as they were', () => {
    const codes = new Array<number>(1000).fill(500);
    codes[313] = 1000;
    codes[700] = 3;
    expect(new Set(onPixels(codes, 50))).toEqual(new Set([500, 1000, 3]));
  });

  it('prefers NaN to zero, zero to a number, a number to nothing', () => {
    expect(onPixels([CODE.zero, CODE.nonfinite, 7], 1)).toEqual([CODE.nonfinite]);
    expect(onPixels([7, CODE.zero, CODE.missing], 1)).toEqual([CODE.zero]);
    expect(onPixels([CODE.missing, 7, CODE.noGradient], 1)).toEqual([7]);
    expect(onPixels([CODE.missing, CODE.noGradient], 1)).toEqual([CODE.noGradient]);
  });

  it('gives every record its pixels when there are enough', () => {
    expect(onPixels([1, 2, 3], 9)).toEqual([1, 1, 1, 2, 2, 2, 3, 3, 3]);
  });

  it('shows a part of the records in a zoom, and what is missing as missing', () => {
    const columns = placeColumns(Float64Array.of(0, 1, 2, 50, 51), new Float64Array(5).fill(1));
    const row = Uint16Array.of(1, 2, 3, 4, 5);
    const at = (domain: Domain, width: number) => {
      const out = new Uint16Array(width);
      pixelCodes(row, pixelColumns(columns, domain, width), 3, out);
      return [...out];
    };
    expect(at([0.5, 2.5], 2)).toEqual([2, 3]);
    expect(at([1.5, 5.5], 4)).toEqual([3, CODE.missing, CODE.missing, CODE.missing]);
    expect(at([100, 110], 3)).toEqual([CODE.missing, CODE.missing, CODE.missing]);
  });
});

describe('foldCodes', () => {
  const codes = Uint16Array.of(
    900,
    CODE.noGradient,
    CODE.missing,
    500,
    100,
    200,
    CODE.missing,
    CODE.nonfinite,
  );

  it('shows the worst child', () => {
    expect([...foldCodes(codes, 4, [0, 1], 'low')]).toEqual([100, 200, CODE.missing, CODE.nonfinite]);
    expect([...foldCodes(codes, 4, [0, 1], 'high')].slice(0, 1)).toEqual([900]);
  });

  it('says which child it is', () => {
    expect(worstMember(codes, 4, [0, 1], 0, 'low')).toBe(1);
    expect(worstMember(codes, 4, [0, 1], 0, 'high')).toBe(0);
    expect(worstMember(codes, 4, [0, 1], 3, 'low')).toBe(1);
  });
});

describe('paintCells', () => {
  const paint = (shown: Matrix, width: number, height: number, ratio = 1) => {
    const layers = Array.from({ length: shown.rows }, (_, row) => ({ name: `a.${row}` }));
    const layout = layoutRows({ layers, folded: new Set(), height, selected: null });
    const columns = placeColumns(shown.steps, shown.spans);
    const domain: Domain = [-0.5, shown.steps.length - 0.5];
    const codes = encode(shown, log);
    return paintCells({ codes, columns, scale: log, layout, domain, scroll: 0, width, height, ratio }, theme);
  };
  const colors = (data: Uint32Array) => new Set(data);
  const of = (name: string) => pixel(parseColor(COLORS_OF_PAGE[name]!));

  it('paints one colour a number', () => {
    const { data, width } = paint(matrix([1e-9, 1]), 8, 4);
    const palette = theme.pixels('log');
    expect([...data.subarray(0, width)]).toEqual([
      ...new Array(4).fill(palette[0]),
      ...new Array(4).fill(palette[COLORS - 1]),
    ]);
  });

  it.each([1, 3, 20])('gives each mark paper and ink of its own in rows of %i pixels', (height) => {
    for (const [state, value, paper] of [
      [STATE.number, 0, 'cell-zero'],
      [STATE.nonfinite, Number.NaN, 'cell-nan'],
      [STATE.notRecorded, Number.NaN, 'cell-missing'],
      [STATE.noGradient, Number.NaN, 'cell-missing'],
    ] as const) {
      const seen = colors(paint(uniformMatrix(1, 6, value, state), 60, Math.max(3, height)).data);
      expect(seen).toContain(of(paper));
      if (height >= 20) expect(seen.size).toBeGreaterThan(1);
    }
  });

  it('tells no gradient from not recorded', () => {
    const none = paint(uniformMatrix(1, 6, 0, STATE.noGradient), 60, 20);
    const missing = paint(uniformMatrix(1, 6, 0, STATE.notRecorded), 60, 20);
    expect(colors(none.data)).toContain(of('text-3'));
    expect(colors(missing.data)).not.toContain(of('text-3'));
  });

  it('marks a single NaN in a pixel of its own', () => {
    const shown = dyingNetwork(40, 4999, 11, 811);
    shown.states.fill(STATE.number);
    shown.states[30 * shown.steps.length + 400] = STATE.nonfinite;
    expect(colors(paint(shown, 200, 400).data)).toContain(of('cell-nan'));
  });

  it('takes one cell, no cell and no row', () => {
    expect(paint(uniformMatrix(1, 1, 1), 1, 1).data).toHaveLength(1);
    expect(paint(uniformMatrix(3, 0, 1), 10, 30).data).toHaveLength(300);
    expect(colors(paint(uniformMatrix(0, 5, 1), 10, 10).data)).toEqual(new Set([0]));
  });

  it('takes a fraction of pixels', () => {
    const { width, height, data } = paint(uniformMatrix(2, 7, 0.1), 33.3, 20.5, 1.5);
    expect([width, height]).toEqual([50, 31]);
    expect(data[0]).not.toBe(0);
  });
});
