import { signal } from '@preact/signals';
import { describe, expect, it } from 'vitest';
import { Cache } from './cache';
import { createResource } from './resource';

/** Answers that the test gives by hand. */
function server() {
  const open: {
    address: string;
    answer: (value: string) => void;
    fail: (reason: Error) => void;
    signal: AbortSignal;
  }[] = [];
  const load = (address: string) => (aborted: AbortSignal) =>
    new Promise<string>((answer, fail) => open.push({ address, answer, fail, signal: aborted }));
  return { open, load };
}

const settled = () => new Promise((done) => setTimeout(done));

function setUp() {
  const { open, load } = server();
  const wanted = signal<{ address: string; version: string } | null>({ address: 'a', version: '1' });
  const retries = signal(0);
  const live = createResource(
    () => (wanted.value ? { ...wanted.value, load: load(wanted.value.address) } : null),
    new Cache(1e6),
    retries,
  );
  return { open, wanted, retries, state: live.state, dispose: live.dispose };
}

describe('createResource', () => {
  it('drops the answer to a question that nobody asks any more', async () => {
    const { open, wanted, state } = setUp();
    wanted.value = { address: 'b', version: '1' };
    expect(open[0]?.signal.aborted).toBe(true);
    open[1]?.answer('of b');
    open[0]?.answer('of a');
    await settled();
    expect(state.value).toEqual({ value: 'of b', error: null, loading: false });
  });

  it('keeps the last version until the next one is there, but never under another name', async () => {
    const { open, wanted, state } = setUp();
    open[0]?.answer('a1');
    await settled();
    wanted.value = { address: 'a', version: '2' };
    expect(state.value).toEqual({ value: 'a1', error: null, loading: true });
    wanted.value = { address: 'b', version: '2' };
    expect(state.value).toEqual({ value: null, error: null, loading: true });
  });

  it('does not ask again for what it knows', async () => {
    const { open, wanted, state } = setUp();
    open[0]?.answer('a1');
    await settled();
    wanted.value = { address: 'b', version: '1' };
    wanted.value = { address: 'a', version: '1' };
    expect(state.value.value).toBe('a1');
    expect(open).toHaveLength(2);
  });

  it('does not ask again when its signals change but its question does not', () => {
    const { open, wanted } = setUp();
    wanted.value = { address: 'a', version: '1' };
    expect(open).toHaveLength(1);
  });

  it('says what failed, and tries again when the server is back', async () => {
    const { open, retries, state } = setUp();
    open[0]?.fail(new Error('no such run'));
    await settled();
    expect(state.value.error?.message).toBe('no such run');
    retries.value = 1;
    open[1]?.answer('a1');
    await settled();
    expect(state.value).toEqual({ value: 'a1', error: null, loading: false });
  });

  it('lets go when nothing is wanted and when it is disposed', async () => {
    const { open, wanted, state, dispose } = setUp();
    wanted.value = null;
    expect(state.value.loading).toBe(false);
    wanted.value = { address: 'c', version: '1' };
    dispose();
    expect(open[1]?.signal.aborted).toBe(true);
  });
});

describe('Cache', () => {
  it('forgets what was not used for longest when it is full', () => {
    const cache = new Cache(100);
    cache.set('a', '1', { values: new Uint8Array(40) });
    cache.set('b', '1', { values: new Uint8Array(40) });
    cache.get('a', '1');
    cache.set('c', '1', { values: new Uint8Array(40) });
    expect(['a', 'b', 'c'].map((name) => cache.get(name, '1') !== undefined)).toEqual([true, false, true]);
  });

  it('keeps one version of each, and the newest even if it is too large', () => {
    const cache = new Cache(10);
    cache.set('a', '1', [new Float64Array(1)]);
    cache.set('a', '2', [new Float64Array(5)]);
    expect(cache.get('a', '1')).toBeUndefined();
    expect(cache.get('a', '2')).toBeDefined();
  });
});
