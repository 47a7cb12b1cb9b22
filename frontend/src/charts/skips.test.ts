import { describe, expect, it } from 'vitest';
import { countWords, isLeftOut, skipAt, skipWords, withSkips } from './skips';
import type { Skip, Table } from './types';

const one: Skip = { first: 5, last: 5, count: 1 };
const row: Skip = { first: 1240, last: 1242, count: 3 };
const some: Skip = { first: 4000, last: 4063, count: 3 };
const plot = { left: 0, right: 1000, top: 0, bottom: 100 };

describe('words', () => {
  it.each([
    [one, 'step 5 skipped by the loss scaler'],
    [row, 'steps 1,240–1,242 skipped by the loss scaler'],
    [some, '3 of the steps 4,000–4,063 skipped by the loss scaler'],
  ])('say which', (skip, words) => {
    expect(skipWords(skip)).toBe(words);
  });

  it('say how many', () => {
    expect([countWords([]), countWords([one]), countWords([one, row, some])]).toEqual([
      '',
      '1 step skipped by the loss scaler',
      '7 steps skipped by the loss scaler',
    ]);
  });

  it('call a step left out only where that is certain', () => {
    expect([isLeftOut(row, 1241), isLeftOut(row, 1243), isLeftOut(some, 4000)]).toEqual([true, false, false]);
  });
});

describe('skipAt', () => {
  const skips = [one, row, some];

  it('finds the cross under the pointer, the nearest one first', () => {
    expect(skipAt(skips, 1241, plot, [0, 5000])).toBe(row);
    expect(skipAt(skips, 1250, plot, [0, 5000])).toBe(row);
    expect(skipAt([one, { ...one, first: 7, last: 7 }], 6.6, plot, [0, 5000])?.last).toBe(7);
  });

  it('finds none that is away', () => {
    expect(skipAt(skips, 1250, plot, [1000, 2000])).toBeNull();
    expect(skipAt([], 5, plot, [0, 10])).toBeNull();
    expect(skipAt([one], 59, { ...plot, right: 1 }, [0, 60])).toBeNull();
  });
});

describe('withSkips', () => {
  const lasts = Float64Array.of(4, 6, 4010, 4063);
  const table: Table = {
    columns: ['first step', 'last step', 'a', 'b'],
    rowCount: lasts.length,
    row: (index) => [lasts[index]!, lasts[index]!, 1, 2],
  };

  it('puts a line for them where they belong', () => {
    const all = withSkips(table, lasts, [one, some, { first: 5000, last: 5001, count: 2 }]);
    const lines = Array.from({ length: all.rowCount }, (_, index) => all.row(index));
    expect(lines.map(([, last, value]) => [last, value])).toEqual([
      [4, 1],
      [5, 'skipped'],
      [6, 1],
      [4063, '3 skipped'],
      [4010, 1],
      [4063, 1],
      [5001, 'skipped'],
    ]);
    expect(lines.every(({ length }) => length === 4)).toBe(true);
  });

  it('is the same table without them', () => {
    expect(withSkips(table, lasts, [])).toBe(table);
  });
});
