import { describe, expect, it } from 'vitest';
import { DataError } from '../data/errors';
import { Store } from './embeddings-store';

/** A server that answers when the test says so. */
function setUp() {
  const open = new Map<
    number,
    { answer: (value: string) => void; fail: (reason: Error) => void; signal: AbortSignal }
  >();
  const asked: number[] = [];
  const store = new Store<number, string>({
    address: String,
    load: (query, signal) =>
      new Promise((answer, fail) => {
        asked.push(query);
        open.set(query, { answer, fail, signal });
      }),
    bytes: 1000,
  });
  return { open, asked, store };
}

const settled = () => new Promise((done) => setTimeout(done));

describe('Store', () => {
  it('fetches a few at a time, in the order in which they are wanted', async () => {
    const { open, asked, store } = setUp();
    store.want([5, 4, 3, 2, 1]);
    expect(asked).toEqual([5, 4, 3]);
    open.get(4)!.answer('four');
    await settled();
    expect(asked).toEqual([5, 4, 3, 2]);
    expect(store.get(4)).toBe('four');
    expect(store.arrivals.value).toBe(1);
  });

  it('drops what nobody wants any more, even if it still comes', async () => {
    const { open, asked, store } = setUp();
    store.want([1, 2]);
    store.want([2, 3]);
    expect(open.get(1)!.signal.aborted).toBe(true);
    expect(open.get(2)!.signal.aborted).toBe(false);
    open.get(1)!.answer('one');
    await settled();
    expect(store.get(1)).toBeUndefined();
    expect(asked).toEqual([1, 2, 3]);
  });

  it('asks again for what failed only when it is told to', async () => {
    const { open, asked, store } = setUp();
    store.want([1]);
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

  it('forgets what was recorded anew', async () => {
    const { open, asked, store } = setUp();
    store.want([1]);
    open.get(1)!.answer('before');
    await settled();
    store.clear();
    expect(store.get(1)).toBeUndefined();
    expect(asked).toEqual([1, 1]);
    open.get(1)!.answer('after');
    await settled();
    expect(store.get(1)).toBe('after');
  });
});
