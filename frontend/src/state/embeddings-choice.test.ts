import { describe, expect, it } from 'vitest';
import type { Layout } from '../data/embeddings';
import { bestLayout, chosenLayout, layoutKey, matchingLayout } from './embeddings-choice';

const layout = (method: string, dims = 2, origin = 'live', steps: number[] = [0, 10]): Layout => ({
  method,
  dims,
  origin,
  steps,
});

describe('the layout to open on', () => {
  it.each([
    ['t-SNE before PCA', [layout('pca'), layout('tsne')], 1],
    ['the plane before space', [layout('tsne', 3), layout('tsne', 2)], 1],
    ['what was computed offline', [layout('tsne'), layout('tsne', 2, 'offline')], 1],
    ['PCA while t-SNE has no positions yet', [layout('tsne', 2, 'live', []), layout('pca')], 1],
    ['one that is known before one that is not', [layout('tarot'), layout('pca')], 1],
    ['an empty one where all are', [layout('tsne', 2, 'live', [])], 0],
    ['none where there is none', [], -1],
  ])('is %s', (_what, layouts, expected) => {
    expect(bestLayout(layouts)).toBe(expected);
  });

  it('is the one in the address, if there is such a one', () => {
    const layouts = [layout('tsne'), layout('pca')];
    expect(chosenLayout(layouts, layoutKey(layouts[1]!))).toBe(1);
    expect(chosenLayout(layouts, 'umap-2-live')).toBe(0);
  });
});

describe('the layout on the other side', () => {
  it('is of the same kind where there is one with positions', () => {
    const others = [layout('tsne', 2, 'live', []), layout('pca'), layout('tsne', 2, 'offline')];
    expect(matchingLayout(others, layout('pca'))).toBe(1);
    expect(matchingLayout([layout('pca'), layout('tsne')], layout('tsne', 2, 'offline'))).toBe(1);
    expect(matchingLayout([layout('pca')], layout('tsne', 3))).toBe(0);
    expect(matchingLayout([], layout('tsne'))).toBe(-1);
  });
});
