import { describe, expect, it } from 'vitest';
import { encode } from '../codes';
import { placeColumns } from '../columns';
import { blockNames, uniformMatrix } from '../harness/data';
import { layoutRows } from '../layout';
import { valueScale } from '../scale';
import { makeTheme } from '../theme';
import { sameCells } from './cellImage';
import type { Scene } from './scene';

const layers = blockNames(4, 3);
const matrix = uniformMatrix(layers.length, 9, 0.1);
const scale = valueScale('log');
const layoutWith = (selected: number | null, height = 600) =>
  layoutRows({ layers, folded: new Set(), height, selected });
const scene: Scene = {
  theme: makeTheme(() => '#000'),
  ratio: 1,
  width: 500,
  plot: { left: 0, right: 500, top: 0, bottom: 600 },
  domain: [0, 9],
  layout: layoutWith(null),
  scroll: 0,
  layers,
  matrix,
  statistic: { label: '', unit: '', scale: 'log' },
  scale,
  codes: encode(matrix, scale),
  columns: placeColumns(matrix.steps, matrix.spans),
  selection: { row: null, step: null },
  flags: [],
  marks: [],
  skips: [],
  labels: 'tree',
  empty: '',
};

describe('sameCells', () => {
  it('holds while only the selection moves', () => {
    expect(sameCells(scene, { ...scene, selection: { row: 2, step: 5 }, layout: layoutWith(2) })).toBe(true);
  });

  it.each<[string, Partial<Scene>]>([
    ['a zoom', { domain: [2, 5] }],
    ['scrolling', { scroll: 7 }],
    ['another theme', { theme: makeTheme(() => '#fff') }],
    ['other data', { codes: new Uint16Array(scene.codes) }],
    ['a selected row that grows', { layout: layoutWith(2, 60) }],
    ['another screen', { ratio: 2 }],
  ])('ends with %s', (_, change) => {
    expect(sameCells(scene, { ...scene, ...change })).toBe(false);
  });
});
