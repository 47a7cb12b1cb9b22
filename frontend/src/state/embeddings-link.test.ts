import { describe, expect, it } from 'vitest';
import type { Embedding } from '../data/embeddings';
import { isChanged } from './embeddings-link';

const set = { points: 5, labels: 'none', classes: [], thumbnails: null };

function embedding(steps: number[], changes: Partial<Embedding> = {}): Embedding {
  return {
    name: 'fc',
    model: '',
    module: 'fc',
    inputs: 'i',
    sets: [set],
    layouts: [{ method: 'pca', dims: 2, origin: 'live', steps }],
    measures: { columns: [], steps: [] },
    predictions: false,
    omissions: [],
    nbytes: 1,
    ...changes,
  };
}

describe('an embedding', () => {
  const before = embedding([0, 10]);
  const more = { method: 'tsne', dims: 2, origin: 'live', steps: [0] };

  it.each([
    ['the same', embedding([0, 10])],
    ['more steps', embedding([0, 10, 20])],
    ['another layout', embedding([0, 10], { layouts: [...before.layouts, more] })],
    [
      'thumbnails',
      embedding([0, 10], { sets: [{ ...set, thumbnails: { count: 5, height: 8, width: 8, channels: 1 } }] }),
    ],
    ['other points later', embedding([0, 10], { sets: [set, { ...set, points: 6 }] })],
  ])('with %s has not changed', (_what, now) => {
    expect(isChanged(before, [now])).toBe(false);
  });

  it.each([
    ['a resume from an earlier step', embedding([0, 5])],
    ['fewer steps', embedding([0])],
    ['other points', embedding([0, 10], { sets: [{ ...set, points: 6 }] })],
    ['another layout in its place', embedding([0, 10], { layouts: [more] })],
    ['another name', embedding([0, 10], { name: 'fc2' })],
  ])('after %s has', (_what, now) => {
    expect(isChanged(before, [now])).toBe(true);
  });

  it('that was not listed yet has not', () => {
    expect(isChanged(before, [])).toBe(false);
  });
});
