import { describe, expect, it } from 'vitest';
import { PAGE, pagesFor } from './pages';

describe('pages of units', () => {
  it.each([
    [0, [0, 1]],
    [PAGE / 2 - 1, [0, 1]],
    [PAGE - 1, [0, 1]],
    [PAGE, [0, 1]],
    [PAGE + PAGE / 2, [2, 1]],
    [2 * PAGE, [2, 1]],
    [2 * PAGE + PAGE / 2, [2, 3]],
  ])('from row %i on are %j', (from, pages) => {
    expect(pagesFor(from)).toEqual(pages);
  });

  it('hold what is in view while one scrolls past them', () => {
    for (let from = 0; from < 8 * PAGE; from += 7) {
      const held = pagesFor(from);
      const inView = [Math.floor(from / PAGE), Math.floor((from + PAGE / 2 - 1) / PAGE)];
      expect(inView.every((page) => held.includes(page))).toBe(true);
    }
  });
});
