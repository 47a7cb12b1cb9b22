import { describe, expect, it } from 'vitest';
import { pageOf, pageSize, pagesOf } from './paging';

describe('a page', () => {
  it('holds a power of two, about so many bytes, and no more than it may', () => {
    const limits = { bytes: 1000, most: 64 };
    expect([0, 1, 16, 17, 999, 1001].map((each) => pageSize(each, limits))).toEqual([64, 64, 32, 32, 1, 1]);
  });

  it('begins where the one before ends, and the last one ends with all', () => {
    expect(pageOf(0, 8, 20)).toEqual({ first: 0, count: 8 });
    expect(pageOf(15, 8, 20)).toEqual({ first: 8, count: 8 });
    expect(pageOf(16, 8, 20)).toEqual({ first: 16, count: 4 });
  });

  it('is named once, in the order of need', () => {
    expect(pagesOf([70, 3, 65, 130, 0], 64)).toEqual([64, 0, 128]);
    expect(pagesOf([], 64)).toEqual([]);
  });
});
