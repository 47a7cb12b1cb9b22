import { describe, expect, it } from 'vitest';
import type { Embedding } from '../../data/embeddings';
import type { Scene } from '../../state/embeddings';
import { pointsTable, sceneName } from './points-table';

const NONE = Number.NaN;

function scene(
  step: number,
  changes: Partial<{ run: string; name: string; kind: string; predicted: boolean }> = {},
): Scene {
  const { run = 'r', name = 'fc', kind = 'classes', predicted = true } = changes;
  return {
    slot: 0,
    side: { run, embedding: { name } as Embedding, layout: 0, step },
    points: {
      step,
      set: 0,
      count: 3,
      dims: 2,
      positions: Float32Array.from([0, step, 2, 3, NONE, NONE]),
      predictions: predicted ? Float32Array.from([1, 0, NONE]) : null,
    },
    set: { points: 3, labels: kind, classes: ['cat', 'dog'], thumbnails: null },
    labels: Float32Array.from([0, 0.5, NONE]),
  };
}

const rowsOf = (...[scenes, points]: Parameters<typeof pointsTable>) => {
  const table = pointsTable(scenes, points);
  return [table.columns, ...Array.from({ length: table.rowCount }, (_, index) => table.row(index))];
};

describe('a table of points', () => {
  it('has what is known of each, and nothing of what is not', () => {
    expect(rowsOf([scene(1, { kind: 'numbers' })], null)).toEqual([
      ['point', 'label', 'prediction', 'x', 'y'],
      [0, 0, 'dog', 0, 1],
      [1, 0.5, 'cat', 2, 3],
      [2, null, null, null, null],
    ]);
  });

  it('has columns of each picture for some points', () => {
    expect(
      rowsOf([scene(1, { predicted: false }), scene(7, { predicted: false })], Uint32Array.of(0)),
    ).toEqual([
      ['point', 'label', 'x, step 1', 'y, step 1', 'x, step 7', 'y, step 7'],
      [0, 'cat', 0, 1, 0, 7],
    ]);
  });

  it('is empty without a picture', () => {
    expect(rowsOf([], null)).toEqual([['point']]);
  });
});

describe('the name of a picture', () => {
  it.each([
    [[scene(1), scene(7)], 'step 1'],
    [[scene(1), scene(1, { name: 'fc2' })], 'fc, step 1'],
    [[scene(1), scene(1, { run: 'other' })], 'r, step 1'],
  ])('is what tells it from the other', (scenes, name) => {
    expect(sceneName(scenes[0]!, scenes)).toBe(name);
  });
});
