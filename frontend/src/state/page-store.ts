/** What does not change once it was recorded: fetched a few at a time, the most urgent first, and kept up to a number of bytes. */
import { type ReadonlySignal, signal } from '@preact/signals';
import { Cache } from '../data/cache';
import { isAbort } from '../data/client';
import { asDataError, type DataError } from '../data/errors';

/** Requests at a time. */
const PARALLEL = 4;

export interface PageSource<Q, T> {
  /** Tells one query from another. */
  readonly address: (query: Q) => string;
  readonly load: (query: Q, signal: AbortSignal) => Promise<T>;
  /** Of answers that are kept. */
  readonly bytes: number;
  /** Told of every answer that comes. */
  readonly told?: (query: Q, value: T) => void;
}

export class PageStore<Q, T> {
  readonly #source: PageSource<Q, T>;
  readonly #cache: Cache;
  readonly #failed = new Map<string, DataError>();
  readonly #open = new Map<string, AbortController>();
  readonly #arrivals = signal(0);
  #queue: readonly Q[] = [];
  #era = 0;

  constructor(source: PageSource<Q, T>) {
    this.#source = source;
    this.#cache = new Cache(source.bytes);
  }

  /** Counts what comes, what fails and what is forgotten. */
  get arrivals(): ReadonlySignal<number> {
    return this.#arrivals;
  }

  get(query: Q): T | undefined {
    return this.#cache.get(this.#source.address(query), String(this.#era)) as T | undefined;
  }

  failure(query: Q): DataError | undefined {
    return this.#failed.get(this.#source.address(query));
  }

  /** Whether it came or failed. */
  isSettled(query: Q): boolean {
    return this.get(query) !== undefined || this.failure(query) !== undefined;
  }

  /** Fetch these and nothing else, the first ones first. */
  want(queries: readonly Q[]): void {
    this.#queue = queries;
    const wanted = new Set(queries.map(this.#source.address));
    for (const [address, controller] of this.#open)
      if (!wanted.has(address)) {
        this.#open.delete(address);
        controller.abort();
      }
    this.#next();
  }

  /** Try again what has failed. */
  retry(): void {
    if (this.#failed.size === 0) return;
    this.#failed.clear();
    this.#tell();
    this.#next();
  }

  /** Forget everything: it was recorded anew. */
  clear(): void {
    this.#era++;
    this.#failed.clear();
    for (const controller of this.#open.values()) controller.abort();
    this.#open.clear();
    this.#tell();
    this.#next();
  }

  #tell(): void {
    this.#arrivals.value = this.#arrivals.peek() + 1;
  }

  #next(): void {
    for (const query of this.#queue) {
      if (this.#open.size >= PARALLEL) return;
      const address = this.#source.address(query);
      if (!this.#open.has(address) && !this.isSettled(query)) void this.#fetch(query, address);
    }
  }

  async #fetch(query: Q, address: string): Promise<void> {
    const controller = new AbortController();
    this.#open.set(address, controller);
    const isOurs = () => this.#open.get(address) === controller;
    try {
      const value = await this.#source.load(query, controller.signal);
      if (!isOurs()) return;
      this.#cache.set(address, String(this.#era), value);
      this.#source.told?.(query, value);
    } catch (reason) {
      if (isOurs() && !isAbort(reason)) this.#failed.set(address, asDataError(reason));
    } finally {
      if (isOurs()) {
        this.#open.delete(address);
        this.#tell();
        this.#next();
      }
    }
  }
}
