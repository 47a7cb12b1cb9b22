import { describe, expect, it } from 'vitest';
import { columnOf, numberAt } from './embeddings-tables';
import { thumbnailsOnPage } from './embeddings-thumbnails';

const table = {
  steps: [0, 10],
  columns: ['set', 'drift'],
  values: Float32Array.from([0, Number.NaN, 1, 0.5]),
};

describe('a table over the steps', () => {
  it('has a number for a column at a step, or none', () => {
    expect(numberAt(table, 'drift', 10)).toBe(0.5);
    expect(numberAt(table, 'drift', 0)).toBeNaN();
    expect(numberAt(table, 'drift', 5)).toBeNaN();
    expect(numberAt(table, 'future', 10)).toBeNaN();
    expect(numberAt(null, 'drift', 10)).toBeNaN();
  });

  it('has whole columns', () => {
    expect([...columnOf(table, 'drift')!]).toEqual([Number.NaN, 0.5]);
    expect(columnOf(table, 'future')).toBeNull();
    expect(columnOf(null, 'drift')).toBeNull();
  });
});

describe('a page of thumbnails', () => {
  it.each([
    [{ height: 8, width: 8, channels: 1 }, 4096],
    [{ height: 32, width: 32, channels: 3 }, 64],
    [{ height: 4000, width: 4000, channels: 3 }, 1],
  ])('of %j holds %i', (size, count) => {
    expect(thumbnailsOnPage({ ...size, count: 10_000 })).toBe(count);
  });
});
