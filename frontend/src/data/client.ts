/** The routes as functions. Paths are relative to the page's base, so that a path prefix is kept. */
import { decodeBins, decodeCost, decodeDead, decodeMetrics, decodeSeries, decodeUnits } from './decode';
import { DataError, type ErrorKind } from './errors';
import { decodeFrame, type Frame } from './frame';
import type {
  BinSeries,
  Catalogue,
  DeadSeries,
  Death,
  Metric,
  Redundancy,
  RowKind,
  Run,
  RunSummary,
  Series,
  Spending,
  ThresholdChoice,
  UnitPage,
  UnitSort,
} from './types';

const KINDS: readonly ErrorKind[] = ['bad_argument', 'not_found', 'unreadable', 'internal'];

type Arguments = Readonly<Record<string, string | number | readonly number[] | undefined>>;

export interface SeriesQuery {
  readonly run: string;
  readonly statistic: string;
  readonly rows: RowKind;
  /** Only this row. */
  readonly row?: number | undefined;
  readonly band?: boolean;
}

export interface UnitsQuery extends ThresholdChoice {
  readonly run: string;
  readonly activation: number;
  /** Place of the first row in the order of `sort`. */
  readonly first: number;
  readonly count: number;
  readonly sort: UnitSort;
}

/** The address of a route with its arguments, for a request and as a cache key. */
export function address(route: string, query: Arguments = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== undefined) search.append(name, String(item));
    }
  }
  const text = search.toString();
  return text ? `${route}?${text}` : route;
}

export function seriesAddress({ run, statistic, rows, row, band }: SeriesQuery): string {
  return address('series', { run, statistic, rows, row, band: band ? 'true' : undefined });
}

export const getCatalogue = (signal: AbortSignal) => json<Catalogue>(address('catalogue'), signal);

export const getRuns = async (signal: AbortSignal) =>
  (await json<{ runs: RunSummary[] }>(address('runs'), signal)).runs;

export const getRun = (run: string, signal: AbortSignal) => json<Run>(address('run', { run }), signal);

export const getSeries = async (query: SeriesQuery, signal: AbortSignal): Promise<Series> =>
  decodeSeries(await frame(seriesAddress(query), signal));

export const getMetrics = async (run: string, signal: AbortSignal): Promise<Metric[]> =>
  decodeMetrics(await frame(address('metrics', { run }), signal));

export const getCost = async (run: string, signal: AbortSignal): Promise<Spending[]> =>
  decodeCost(await frame(address('cost', { run }), signal));

export const getBins = async (
  run: string,
  row: { readonly layer: number } | { readonly parameter: number } | { readonly activation: number },
  bins: number,
  signal: AbortSignal,
): Promise<BinSeries> => decodeBins(await frame(address('bins', { run, ...row }), signal), bins);

export function deadAddress(run: string, { samples, windows }: ThresholdChoice): string {
  return address('dead', { run, samples, windows });
}

/** @param states How many states the catalogue lists. */
export const getDead = async (
  run: string,
  thresholds: ThresholdChoice,
  states: number,
  signal: AbortSignal,
): Promise<DeadSeries> => decodeDead(await frame(deadAddress(run, thresholds), signal), states);

export function deathsAddress(run: string, { samples, windows }: ThresholdChoice): string {
  return address('deaths', { run, samples, windows });
}

export const getDeaths = async (run: string, thresholds: ThresholdChoice, signal: AbortSignal) =>
  (await json<{ deaths: Death[] }>(deathsAddress(run, thresholds), signal)).deaths;

export function redundantAddress(run: string, { samples, windows }: ThresholdChoice): string {
  return address('redundant', { run, samples, windows });
}

export const getRedundant = (run: string, thresholds: ThresholdChoice, signal: AbortSignal) =>
  json<Redundancy>(redundantAddress(run, thresholds), signal);

export function unitsAddress({ run, activation, first, count, sort, samples, windows }: UnitsQuery): string {
  return address('units', { run, activation, first, count, sort, samples, windows });
}

export const getUnits = async (query: UnitsQuery, signal: AbortSignal): Promise<UnitPage> =>
  decodeUnits(await frame(unitsAddress(query), signal));

export async function json<T>(path: string, signal: AbortSignal): Promise<T> {
  const response = await request(path, signal);
  try {
    return (await response.json()) as T;
  } catch (reason) {
    throw interrupted(reason, 'The server sent something that is not JSON.');
  }
}

export async function frame(path: string, signal: AbortSignal): Promise<Frame> {
  const response = await request(path, signal);
  let buffer: ArrayBuffer;
  try {
    buffer = await response.arrayBuffer();
  } catch (reason) {
    throw interrupted(reason, "The server's answer broke off.");
  }
  return decodeFrame(buffer);
}

async function request(path: string, signal: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(new URL(path, document.baseURI), { signal, cache: 'no-store' });
  } catch (reason) {
    if (isAbort(reason)) throw reason;
    throw new DataError('unreachable', 'TensorBoard does not answer.');
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response: Response): Promise<DataError> {
  try {
    const { kind, message } = ((await response.json()) as { error: { kind: ErrorKind; message: string } })
      .error;
    return new DataError(KINDS.includes(kind) ? kind : 'internal', String(message));
  } catch {
    return new DataError('internal', `TensorBoard answered with status ${response.status}.`);
  }
}

function interrupted(reason: unknown, message: string): unknown {
  return isAbort(reason) ? reason : new DataError('malformed', message);
}

export function isAbort(reason: unknown): boolean {
  return reason instanceof DOMException && reason.name === 'AbortError';
}
