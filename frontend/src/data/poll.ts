/** Asks again and again: at a steady pace while someone looks, slower while it fails, not at all while nobody does. */
import { type ReadonlySignal, signal } from '@preact/signals';
import { isAbort } from './client';
import { asDataError, type DataError } from './errors';

export const INTERVAL = 2000;
const LONGEST = 30_000;

export interface Poll<T> {
  /** The last answer, kept while the next one fails. */
  readonly answer: ReadonlySignal<T | null>;
  readonly error: ReadonlySignal<DataError | null>;
  /** Counts the times that it came back after a failure. */
  readonly recoveries: ReadonlySignal<number>;
  /** Ask now, whatever the pace. */
  refresh(): void;
  /** Whether to go on asking. */
  run(on: boolean): void;
}

export function createPoll<T>(load: (signal: AbortSignal) => Promise<T>): Poll<T> {
  const answer = signal<T | null>(null);
  const error = signal<DataError | null>(null);
  const recoveries = signal(0);
  let failures = 0;
  let running = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let pending: AbortController | null = null;

  async function ask(): Promise<void> {
    clearTimeout(timer);
    pending?.abort();
    const controller = new AbortController();
    pending = controller;
    try {
      const value = await load(controller.signal);
      if (controller.signal.aborted) return;
      answer.value = value;
      error.value = null;
      if (failures > 0) recoveries.value += 1;
      failures = 0;
    } catch (reason) {
      if (controller.signal.aborted || isAbort(reason)) return;
      failures += 1;
      error.value = asDataError(reason);
    }
    pending = null;
    if (running) timer = setTimeout(ask, Math.min(LONGEST, INTERVAL * 2 ** failures));
  }

  return {
    answer,
    error,
    recoveries,
    refresh: () => void ask(),
    run(on) {
      if (on === running) return;
      running = on;
      if (on) void ask();
      else {
        clearTimeout(timer);
        pending?.abort();
      }
    },
  };
}
