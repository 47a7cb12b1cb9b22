import { describe, expect, it } from 'vitest';
import { DataError } from '../data/errors';
import { PageStore } from './page-store';

const page = (value: number) => Uint8Array.from({ length: 17 }, () => value);

/** A server that answers when the test says so. */
function setUp(bytes = 1000) {
  const open = new Map<
    number,
    { answer: (page: Uint8Array) => void; fail: (reason: Error) => void; signal: AbortSignal }
  >();
  const asked: number[] = [];
  const told: (readonly [number, Uint8Array])[] = [];
  const store = new PageStore<number, Uint8Array>({
    address: String,
    load: (query, signal) =>
      new Promise((answer, fail) => {
        asked.push(query);
        open.set(query, { answer, fail, signal });
      }),
    bytes,
    told: (query, value) => told.push([query, value]),
  });
  return { open, asked, told, store };
}

const settled = () => new Promise((done) => setTimeout(done));

describe('PageStore', () => {
  it('fetches a few at a time, in the order in which they are wanted', async () => {
    const { open, asked, told, store } = setUp();
    store.want([5, 4, 3, 2, 1, 0]);
    expect(asked).toEqual([5, 4, 3, 2]);
    open.get(3)!.answer(page(3));
    await settled();
    expect(asked).toEqual([5, 4, 3, 2, 1]);
    expect(store.get(3)).toEqual(page(3));
    expect(told).toEqual([[3, page(3)]]);
    expect(store.arrivals.value).toBe(1);
  });

  it('drops what nobody wants any more, even if it still comes', async () => {
    const { open, asked, told, store } = setUp();
    store.want([1, 2]);
    store.want([2, 3]);
    expect(open.get(1)!.signal.aborted).toBe(true);
    expect(open.get(2)!.signal.aborted).toBe(false);
    open.get(1)!.answer(page(1));
    await settled();
    expect(store.get(1)).toBeUndefined();
    expect(asked).toEqual([1, 2, 3]);
    expect(told).toEqual([]);
  });

  it('does not ask twice, neither for what it has nor for what is under way', async () => {
    const { open, asked, store } = setUp();
    store.want([1]);
    store.want([1]);
    open.get(1)!.answer(page(1));
    await settled();
    store.want([1]);
    expect(asked).toEqual([1]);
    expect(store.isSettled(1)).toBe(true);
  });

  it('keeps what failed in words and asks again only when told to', async () => {
    const { open, asked, store } = setUp();
    store.want([1]);
    expect(store.isSettled(1)).toBe(false);
    open.get(1)!.fail(new DataError('not_found', 'gone'));
    await settled();
    store.want([1]);
    expect(store.failure(1)?.message).toBe('gone');
    expect(store.isSettled(1)).toBe(true);
    expect(asked).toEqual([1]);
    store.retry();
    expect(asked).toEqual([1, 1]);
    expect(store.failure(1)).toBeUndefined();
  });

  it('forgets what was recorded anew, asks for what is wanted, and takes no answer of before', async () => {
    const { open, asked, store } = setUp();
    store.want([1, 2]);
    open.get(1)!.answer(page(1));
    await settled();
    const late = open.get(2)!;
    store.clear();
    expect(store.get(1)).toBeUndefined();
    expect(asked).toEqual([1, 2, 1, 2]);
    late.answer(page(2));
    await settled();
    expect(store.get(2)).toBeUndefined();
    open.get(1)!.answer(page(9));
    await settled();
    expect(store.get(1)).toEqual(page(9));
  });

  it('holds no more bytes than it may', async () => {
    const { open, store } = setUp(38);
    for (const query of [1, 2, 3]) {
      store.want([query]);
      open.get(query)!.answer(page(query));
      await settled();
    }
    expect([1, 2, 3].map((query) => store.get(query) !== undefined)).toEqual([false, true, true]);
  });
});
