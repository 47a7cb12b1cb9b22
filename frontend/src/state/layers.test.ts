import { describe, expect, it } from 'vitest';
import { makeFilter, rowBy } from './layers';

describe('makeFilter', () => {
  it('matches anywhere in the name and ignores case', () => {
    const { test } = makeFilter('conv[12]$');
    expect(['blocks.0.Conv1', 'conv3', 'conv2.bias'].map(test)).toEqual([true, false, false]);
  });

  it('lets everything through without a pattern', () => {
    expect(makeFilter('').test('x')).toBe(true);
  });

  it.each(['(', '[z-a]', '*', '\\'])('says in words why %s is no pattern and hides nothing', (pattern) => {
    const { test, error } = makeFilter(pattern);
    expect(error).toMatch(/^Not a regular expression: .+\. All layers are shown\.$/);
    expect(test('anything')).toBe(true);
  });
});

describe('rowBy', () => {
  const shown = [2, 5, 7];

  it.each([
    [5, 1, 7],
    [5, -1, 2],
    [7, 1, 7],
    [2, -1, 2],
    [null, 1, 2],
    [null, -1, 7],
    [3, 1, 5],
    [3, -1, 2],
    [9, -1, 7],
    [9, 1, 7],
  ])('from %s by %i to %i', (row, count, to) => {
    expect(rowBy(shown, row, count)).toBe(to);
  });

  it('goes nowhere when nothing is shown', () => {
    expect(rowBy([], 3, 1)).toBeNull();
  });
});
