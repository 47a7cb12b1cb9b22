/** Pages of maps: fetched a few at a time, in the order in which they are wanted, and kept up to a number of bytes. */
import { type ReadonlySignal, signal } from '@preact/signals';
import { Cache } from '../data/cache';
import { isAbort } from '../data/client';
import { asDataError, type DataError } from '../data/errors';
import { type MapPage, type MapSource, type PageQuery, pageAddress } from '../data/maps';

/** Requests at a time. */
const PARALLEL = 4;
/** About as many bytes to a page, and never more maps than the server gives at once. */
const PAGE_BYTES = 2 ** 19;
const MOST_MAPS = 256;

type Load = (query: PageQuery, signal: AbortSignal) => Promise<MapPage>;

/** How many maps of a module make a page; always the same for a module. */
export function pageSize({ height, width }: Pick<MapSource, 'height' | 'width'>): number {
  const fitting = Math.max(1, Math.floor(PAGE_BYTES / Math.max(1, height * width)));
  return Math.min(MOST_MAPS, 2 ** Math.floor(Math.log2(fitting)));
}

/** First maps of the pages that hold `maps`, each once, in the order in which they are first needed. */
export function pagesOf(maps: readonly number[], size: number): number[] {
  return [...new Set(maps.map((map) => map - (map % size)))];
}

/** What was recorded at a step does not change, so a page is fetched once; `clear` forgets what has changed after all. */
export class PageStore {
  readonly #load: Load;
  readonly #cache: Cache;
  readonly #failed = new Map<string, DataError>();
  readonly #open = new Map<string, AbortController>();
  readonly #arrivals = signal(0);
  readonly #told: (query: PageQuery, page: MapPage) => void;
  #queue: readonly PageQuery[] = [];
  #era = 0;

  /** @param told Told of every page that arrives. */
  constructor(load: Load, bytes: number, told: (query: PageQuery, page: MapPage) => void = () => {}) {
    this.#load = load;
    this.#cache = new Cache(bytes);
    this.#told = told;
  }

  /** Counts what comes and what fails. */
  get arrivals(): ReadonlySignal<number> {
    return this.#arrivals;
  }

  get(query: PageQuery): MapPage | undefined {
    return this.#cache.get(pageAddress(query), String(this.#era)) as MapPage | undefined;
  }

  failure(query: PageQuery): DataError | undefined {
    return this.#failed.get(pageAddress(query));
  }

  /** Fetch these and nothing else, the first ones first. */
  want(queries: readonly PageQuery[]): void {
    this.#queue = queries;
    const wanted = new Set(queries.map(pageAddress));
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

  /** Forget everything: a run was recorded anew. */
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
      const address = pageAddress(query);
      if (!this.#open.has(address) && !this.#failed.has(address) && this.get(query) === undefined)
        void this.#fetch(query, address);
    }
  }

  async #fetch(query: PageQuery, address: string): Promise<void> {
    const controller = new AbortController();
    this.#open.set(address, controller);
    const ours = () => this.#open.get(address) === controller;
    try {
      const page = await this.#load(query, controller.signal);
      if (!ours()) return;
      this.#cache.set(address, String(this.#era), page);
      this.#told(query, page);
    } catch (reason) {
      if (!ours() || isAbort(reason)) return;
      this.#failed.set(address, asDataError(reason));
    } finally {
      if (ours()) {
        this.#open.delete(address);
        this.#tell();
        this.#next();
      }
    }
  }
}
