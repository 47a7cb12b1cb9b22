/** What a view asks for, kept up to date: loads on change, drops what is stale, keeps the last while the next comes. */
import { computed, effect, type ReadonlySignal, signal } from '@preact/signals';
import type { Cache } from './cache';
import { isAbort } from './client';
import { asDataError, type DataError } from './errors';

export interface Request<T> {
  /** What is asked for; another address is another thing. */
  readonly address: string;
  /** Which state of it; a newer version replaces the value without emptying the view. */
  readonly version: string;
  load(signal: AbortSignal): Promise<T>;
}

export interface Resource<T> {
  readonly value: T | null;
  readonly error: DataError | null;
  readonly loading: boolean;
}

export interface LiveResource<T> {
  readonly state: ReadonlySignal<Resource<T>>;
  dispose(): void;
}

const IDLE: Resource<never> = { value: null, error: null, loading: false };

/**
 * Follow `wanted`, which reads signals and says what is asked for now.
 *
 * @param retries Whoever counts it up asks for another attempt at what has failed.
 */
export function createResource<T>(
  wanted: () => Request<T> | null,
  cache: Cache,
  retries: ReadonlySignal<number>,
): LiveResource<T> {
  const state = signal<Resource<T>>(IDLE);
  const request = computed(wanted);
  const identity = computed(() =>
    request.value ? JSON.stringify([request.value.address, request.value.version]) : '',
  );
  let shown = '';
  const dispose = effect(() => {
    void retries.value;
    if (identity.value === '') {
      state.value = IDLE;
      return;
    }
    const { address, version, load } = request.peek()!;
    const known = cache.get(address, version) as T | undefined;
    if (known !== undefined) {
      shown = address;
      state.value = { value: known, error: null, loading: false };
      return;
    }
    const kept = shown === address ? state.peek().value : null;
    shown = address;
    state.value = { value: kept, error: null, loading: true };
    const controller = new AbortController();
    load(controller.signal).then(
      (value) => {
        if (controller.signal.aborted) return;
        cache.set(address, version, value);
        state.value = { value, error: null, loading: false };
      },
      (reason: unknown) => {
        if (controller.signal.aborted || isAbort(reason)) return;
        state.value = { value: kept, error: asDataError(reason), loading: false };
      },
    );
    return () => controller.abort();
  });
  return { state, dispose };
}
