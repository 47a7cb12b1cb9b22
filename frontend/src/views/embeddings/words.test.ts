import { describe, expect, it } from 'vitest';
import type { Embedding } from '../../data/embeddings';
import { layoutWords, movementWords, pcaOnlyWords, recordNotes, trustOf } from './words';

const NONE = Number.NaN;

describe('words about layouts', () => {
  it.each([
    [{ method: 'tsne', dims: 2, origin: 'live' }, 't-SNE, 2-D'],
    [{ method: 'umap', dims: 3, origin: 'offline' }, 'UMAP, 3-D, offline'],
    [{ method: 'phate', dims: 2, origin: 'live' }, 'phate, 2-D'],
  ])('%j', (layout, words) => {
    expect(layoutWords(layout)).toBe(words);
  });
});

describe('trust', () => {
  it.each([
    [0.97, 'good'],
    [0.95, 'good'],
    [0.9, 'fair'],
    [0.6, 'poor'],
    [NONE, 'unknown'],
  ])('of %d is %s', (value, trust) => {
    expect(trustOf(value)).toBe(trust);
  });

  it('is told beside what noise does', () => {
    expect(movementWords(0.21, 0.012)).toBe('moved 0.21 of the radius; noise alone moves 0.012');
    expect(movementWords(0.02, 0.012)).toBe('moved 0.02 of the radius, hardly more than noise (0.012)');
    expect(movementWords(0.21, NONE)).toBe('moved 0.21 of the radius');
    expect(movementWords(NONE, 0.012)).toBe('the first record of these points');
  });
});

describe('notes', () => {
  const columns = ['fitted', 'dropped'];

  it('say what is missing, what was placed and what was left out', () => {
    const table = { steps: [0, 10], columns, values: Float32Array.from([50, 0, 2000, 3]) };
    expect(recordNotes(table, 10, 1, 12_000)).toEqual([
      '1 point without a finite vector is not drawn.',
      '2,000 points were fitted, the others placed among them.',
      '3 steps before this one were left out: the worker was busy.',
    ]);
    expect(recordNotes(table, 0, 0, 50)).toEqual([]);
    expect(recordNotes(null, 0, 0, 50)).toEqual([]);
  });

  it('do not take points that are nowhere for placed ones', () => {
    const table = { steps: [0], columns, values: Float32Array.from([48, 0]) };
    expect(recordNotes(table, 0, 2, 50)).toHaveLength(1);
  });
});

describe('PCA alone', () => {
  const layout = (method: string, steps: number[]) => ({ method, dims: 2, origin: 'live', steps });
  const embedding = (layouts: ReturnType<typeof layout>[], omissions: Embedding['omissions'] = []) =>
    ({ layouts, omissions }) as unknown as Embedding;

  it.each([
    ['t-SNE is there', embedding([layout('pca', [0]), layout('tsne', [0])]), ''],
    [
      'it is on its way',
      embedding([layout('pca', [0]), layout('tsne', [])]),
      'This is PCA; t-SNE takes longer, and comes when it is ready.',
    ],
    ['nobody asked for it', embedding([layout('pca', [0])]), 'Only PCA was recorded.'],
    [
      'there is a reason',
      embedding(
        [layout('pca', [0])],
        [{ subject: 't-SNE', reason: 'neither openTSNE nor scikit-learn is installed' }],
      ),
      'Only PCA is shown, without t-SNE: neither openTSNE nor scikit-learn is installed.',
    ],
    ['there is nothing', embedding([]), ''],
  ])('where %s', (_what, one, words) => {
    expect(pcaOnlyWords(one)).toBe(words);
  });
});
