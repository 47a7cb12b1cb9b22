import { describe, expect, it } from 'vitest';
import { DataError } from '../data/errors';
import type { MapPage, PageQuery } from '../data/maps';
import { PageStore, pageSize, pagesOf } from './maps-pages';

const query = (step: number): PageQuery => ({
  run: 'r',
  probe: 'p',
  map: 0,
  step,
  sample: 0,
  first: 0,
  count: 1,
});

const page: MapPage = {
  first: 0,
  count: 1,
  height: 1,
  width: 1,
  pixels: new Uint8Array(1),
  ranges: new Float32Array(2),
  nonfinite: new Float32Array(1),
  strength: new Float32Array(1),
};

/** A server that answers when the test says so. */
function setUp(bytes = 1e6) {
  const open = new Map<
    number,
    { answer: (page: MapPage) => void; fail: (reason: Error) => void; signal: AbortSignal }
  >();
  const asked: number[] = [];
  const told: number[] = [];
  const store = new PageStore(
    ({ step }, signal) =>
      new Promise((answer, fail) => {
        asked.push(step);
        open.set(step, { answer, fail, signal });
      }),
    bytes,
    ({ step }) => told.push(step),
  );
  return { open, asked, told, store };
}

const settled = () => new Promise((done) => setTimeout(done));

describe('PageStore', () => {
  it('fetches a few at a time, in the order in which they are wanted', async () => {
    const { open, asked, told, store } = setUp();
    store.want([5, 4, 3, 2, 1, 0].map(query));
    expect(asked).toEqual([5, 4, 3, 2]);
    open.get(3)!.answer(page);
    await settled();
    expect(asked).toEqual([5, 4, 3, 2, 1]);
    expect(store.get(query(3))).toBe(page);
    expect(told).toEqual([3]);
    expect(store.arrivals.value).toBe(1);
  });

  it('drops what nobody wants any more, even if it still comes', async () => {
    const { open, asked, store } = setUp();
    store.want([1, 2].map(query));
    store.want([2, 3].map(query));
    expect(open.get(1)!.signal.aborted).toBe(true);
    expect(open.get(2)!.signal.aborted).toBe(false);
    open.get(1)!.answer(page);
    await settled();
    expect(store.get(query(1))).toBeUndefined();
    expect(asked).toEqual([1, 2, 3]);
  });

  it('does not ask twice, neither for what it has nor for what is under way', async () => {
    const { open, asked, store } = setUp();
    store.want([query(1)]);
    store.want([query(1)]);
    open.get(1)!.answer(page);
    await settled();
    store.want([query(1)]);
    expect(asked).toEqual([1]);
  });

  it('keeps what failed in words and asks again only when told to', async () => {
    const { open, asked, store } = setUp();
    store.want([query(1)]);
    open.get(1)!.fail(new DataError('not_found', 'no such step'));
    await settled();
    expect(store.failure(query(1))?.message).toBe('no such step');
    store.want([query(1)]);
    expect(asked).toEqual([1]);
    store.retry();
    expect(store.failure(query(1))).toBeUndefined();
    expect(asked).toEqual([1, 1]);
  });

  it('forgets everything when a run was recorded anew, and asks for what is wanted', async () => {
    const { open, asked, store } = setUp();
    store.want([query(1), query(2)]);
    open.get(1)!.answer(page);
    await settled();
    const late = open.get(2)!;
    store.clear();
    expect(store.get(query(1))).toBeUndefined();
    expect(asked).toEqual([1, 2, 1, 2]);
    late.answer(page);
    await settled();
    expect(store.get(query(2))).toBeUndefined();
  });

  it('holds no more bytes than it may', async () => {
    const { open, store } = setUp(38);
    for (const step of [1, 2, 3]) {
      store.want([query(step)]);
      open.get(step)!.answer(page);
      await settled();
    }
    expect([1, 2, 3].map((step) => store.get(query(step)) !== undefined)).toEqual([false, true, true]);
  });
});

describe('a page', () => {
  it('holds more maps the smaller they are', () => {
    expect(pageSize({ height: 32, width: 32 })).toBe(256);
    expect(pageSize({ height: 224, width: 224 })).toBe(8);
    expect(pageSize({ height: 4000, width: 4000 })).toBe(1);
    expect(pageSize({ height: 0, width: 0 })).toBe(256);
  });

  it('is named once, in the order of need', () => {
    expect(pagesOf([70, 3, 65, 130, 0], 64)).toEqual([64, 0, 128]);
    expect(pagesOf([], 64)).toEqual([]);
  });
});
