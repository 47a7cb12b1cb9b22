/** What the server has for the selection. Everything here follows the selection and the newest revision. */
import { computed, type ReadonlySignal, signal } from '@preact/signals';
import { Cache } from '../data/cache';
import {
  address,
  getCatalogue,
  getMetrics,
  getRun,
  getRuns,
  getSeries,
  type SeriesQuery,
  seriesAddress,
} from '../data/client';
import { createPoll } from '../data/poll';
import { createResource, type LiveResource, type Request } from '../data/resource';
import type { RunSummary, Series } from '../data/types';
import * as selection from './selection';

export const cache = new Cache(256 * 2 ** 20);

export const runs = createPoll(getRuns);

/** Counts what asks for another attempt: the server is back, or the reader asks. */
const asked = signal(0);
export const retries = computed(() => asked.value + runs.recoveries.value);

/** Ask again for everything that failed, and for news. */
export function retry(): void {
  asked.value += 1;
  runs.refresh();
}

export function follow<T>(wanted: () => Request<T> | null): LiveResource<T> {
  return createResource(wanted, cache, retries);
}

/** The selected run in the list of runs; null where it is not there. */
export const summary: ReadonlySignal<RunSummary | null> = computed(
  () => runs.answer.value?.find(({ run }) => run === selection.run.value) ?? null,
);

/** The selected run's newest state, as a request's version; null where it can't be read. */
export const revision = computed(() => (summary.value?.error === null ? summary.value.revision : null));

/** A request about a run of the list; null where it is not there or can't be read. */
export function aboutListed<T>(
  listed: RunSummary | null | undefined,
  locate: (run: string) => string,
  load: (run: string, signal: AbortSignal) => Promise<T>,
): Request<T> | null {
  if (listed?.error !== null) return null;
  const { run, revision } = listed;
  return { address: locate(run), version: revision, load: (signal) => load(run, signal) };
}

/** A request about the selected run. */
export function aboutRun<T>(
  locate: (run: string) => string,
  load: (run: string, signal: AbortSignal) => Promise<T>,
): Request<T> | null {
  return aboutListed(summary.value, locate, load);
}

/** A request for one series of the selected run. */
export function aboutSeries(query: Omit<SeriesQuery, 'run'>): Request<Series> | null {
  return aboutRun(
    (run) => seriesAddress({ run, ...query }),
    (run, signal) => getSeries({ run, ...query }, signal),
  );
}

/** Does not change while the server runs, so one answer is enough. */
export const catalogue = follow(() =>
  runs.answer.value === null ? null : { address: 'catalogue', version: '', load: getCatalogue },
).state;

export const run = follow(() => aboutRun((name) => address('run', { run: name }), getRun)).state;

export const metrics = follow(() => aboutRun((name) => address('metrics', { run: name }), getMetrics)).state;

/** The whole network's gradient norm, or its first statistic: the axis of steps that all views share. */
export const network = follow(() => {
  const known = catalogue.value.value?.statistics ?? [];
  const isGradient = (id: string) => known.some((one) => one.id === id && one.rows === 'parameters');
  const statistic = run.value.value?.statistics.find(isGradient);
  return statistic === undefined ? null : aboutSeries({ statistic, rows: 'network', band: true });
}).state;
