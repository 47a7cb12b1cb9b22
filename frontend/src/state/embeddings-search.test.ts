import { describe, expect, it } from 'vitest';
import type { Labelled } from './embeddings-groups';
import { searchOf, shownPoints } from './embeddings-search';

const LABELS = [0, 1, 2, Number.NaN, 1];

function picture(kind: string, labels = LABELS): Labelled {
  const positions = new Float32Array(2 * labels.length);
  return {
    points: { step: 0, set: 0, count: labels.length, dims: 2, positions, predictions: null },
    set: { points: labels.length, labels: kind, classes: ['Sea cat', 'cat', 'dog'], thumbnails: null },
    labels: Float32Array.from(labels),
  };
}

const found = (typed: string, one: Labelled) => {
  const { test, error } = searchOf(typed, one);
  return { points: one.points.count === 0 ? [] : LABELS.map((_, i) => i).filter(test), error };
};

describe('a search', () => {
  it.each([
    ['', [0, 1, 2, 3, 4]],
    ['  ', [0, 1, 2, 3, 4]],
    ['CAT', [0, 1, 4]],
    ['cat sea', [0]],
    ['newt', []],
    ['#1, #3-', [1, 3, 4]],
    ['#2', [2]],
  ])('of classes for %j', (typed, points) => {
    expect(found(typed, picture('classes'))).toEqual({ points, error: null });
  });

  it.each([
    ['> 0.5', [0, 2, 4]],
    ['<= -1', [1]],
    ['−1 to 0.7', [1, 2]],
    ['0.7', [2]],
    ['1e0', [0]],
    ['#1', [1]],
  ])('of numbers for %j', (typed, points) => {
    expect(found(typed, picture('numbers', [1, -1, 0.7, Number.NaN, 3]))).toEqual({ points, error: null });
  });

  it.each([
    ['large', 'numbers'],
    ['#x', 'classes'],
  ])('says what %j should be, and shows everything', (typed, kind) => {
    const { points, error } = found(typed, picture(kind));
    expect(points).toHaveLength(5);
    expect(error).toMatch(/All/);
  });
});

describe('points in colour', () => {
  const codes = Int32Array.from([0, 1, -1, 1]);

  it('are all of them where nothing is chosen', () => {
    expect([...shownPoints(codes, new Set(), searchOf('', picture('classes')))]).toEqual([1, 1, 1, 1]);
  });

  it('are those of the chosen groups that match', () => {
    expect([...shownPoints(codes, new Set([1]), searchOf('#0-2', picture('classes')))]).toEqual([0, 1, 0, 0]);
    expect([...shownPoints(codes, new Set([-1]), searchOf('', picture('classes')))]).toEqual([0, 0, 1, 0]);
  });
});
