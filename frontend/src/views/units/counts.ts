/** How many units of each activation are in which state, as cells, sums and words. */
import { formatCount } from '../../charts/numbers';
import { STATE, type Table } from '../../charts/types';
import type { DeadSeries, Series } from '../../data/types';
import { UNIT } from '../../lib/units';
import { plural } from '../words';

/** Units of the activation in a place of `dead.activations` that are in `state` at a record. */
export function countOf(dead: DeadSeries, place: number, state: number, record: number): number {
  return dead.counts[(place * dead.states + state) * dead.steps.length + record] ?? 0;
}

/** The last record of an activation, or -1 where it has none. */
export function lastRecord(dead: DeadSeries, place: number): number {
  for (let record = dead.steps.length - 1; record >= 0; record--)
    if (isRecorded(dead, place, record)) return record;
  return -1;
}

const isRecorded = (dead: DeadSeries, place: number, record: number) =>
  countOf(dead, place, UNIT.notRecorded, record) < dead.units[place]!;

/** Units of an activation that are in `state` at its last record. */
export function countAtEnd(dead: DeadSeries, place: number, state: number): number {
  const record = lastRecord(dead, place);
  return record < 0 ? 0 : countOf(dead, place, state, record);
}

/** Samples of the records up to `record` that a verdict there stands on at least: as few records as the thresholds take. */
export function judgedOver(dead: DeadSeries, place: number, record: number): number {
  const { samples, windows } = dead.thresholds;
  let seen = 0;
  let sum = 0;
  for (let at = record; at >= 0 && (seen < windows || sum < samples); at--) {
    if (!isRecorded(dead, place, at)) continue;
    sum += dead.samples[place * dead.steps.length + at]!;
    seen += 1;
  }
  return sum;
}

/** The route of deaths lists no more than this. */
export const LISTED = 200;

/** Samples of an activation in the records that begin at `step` or later. */
export function samplesSince(dead: DeadSeries, place: number, step: number): number {
  let sum = 0;
  for (const [record, last] of dead.steps.entries()) {
    const first = last - Math.max(1, dead.spans[record] || 1) + 1;
    if (first >= step && isRecorded(dead, place, record))
      sum += dead.samples[place * dead.steps.length + record]!;
  }
  return sum;
}

export interface Totals {
  readonly units: number;
  readonly activations: number;
  /** Units in the state at the last record of their activation, and in how many activations. */
  readonly count: number;
  readonly affected: number;
  /** The fewest samples that a verdict on one of the activations stands on. */
  readonly samples: number;
}

/** Of the activations that were recorded. */
export function totalsOf(dead: DeadSeries, state: number): Totals {
  const places = dead.activations.map((_, place) => place).filter((place) => lastRecord(dead, place) >= 0);
  const counts = places.map((place) => countAtEnd(dead, place, state));
  const judged = places.map((place) => judgedOver(dead, place, lastRecord(dead, place)));
  return {
    units: places.reduce((sum, place) => sum + dead.units[place]!, 0),
    activations: places.length,
    count: counts.reduce((sum, count) => sum + count, 0),
    affected: counts.filter((count) => count > 0).length,
    samples: judged.length > 0 ? judged.reduce((a, b) => Math.min(a, b)) : 0,
  };
}

/** Of `among` the activation with most dead units at its end, in number and then in share; null where none has any. */
export function worstActivation(dead: DeadSeries, among = dead.activations): number | null {
  let worst: { place: number; count: number; share: number } | null = null;
  for (const index of among) {
    const place = dead.activations.indexOf(index);
    const count = countAtEnd(dead, place, UNIT.dead);
    const share = count / dead.units[place]!;
    const more = worst === null || count > worst.count || (count === worst.count && share > worst.share);
    if (count > 0 && more) worst = { place, count, share };
  }
  return worst === null ? null : dead.activations[worst.place]!;
}

/** The share of units in `state` as a series over `rows` activations, so that a row is an activation. */
export function shareSeries(dead: DeadSeries, state: number, rows: number): Series {
  const length = dead.steps.length;
  const values = new Float32Array(rows * length).fill(Number.NaN);
  const states = new Uint8Array(rows * length).fill(STATE.notRecorded);
  for (const [place, row] of dead.activations.entries()) {
    const units = dead.units[place]!;
    for (let record = 0; record < length && units > 0; record++) {
      const cell = row * length + record;
      if (!isRecorded(dead, place, record)) continue;
      const neverRun = countOf(dead, place, UNIT.neverRun, record) === units;
      states[cell] = neverRun ? STATE.neverRun : STATE.number;
      if (!neverRun) values[cell] = countOf(dead, place, state, record) / units;
    }
  }
  return {
    statistic: '',
    kind: 'activations',
    rows: Array.from({ length: rows }, (_, row) => row),
    steps: dead.steps,
    spans: dead.spans,
    observations: new Float32Array(length),
    values,
    states,
    low: null,
    high: null,
  };
}

/** "37 of 64 dead · fired in 0 of at least 2,048 samples" */
export function cellWords(dead: DeadSeries, place: number, record: number, state: number, label: string) {
  const units = dead.units[place]!;
  const of = (other: number) => countOf(dead, place, other, record);
  if (of(UNIT.notRecorded) === units) return 'not recorded';
  if (of(UNIT.neverRun) === units) return 'never run';
  const parts = [`${formatCount(of(state))} of ${formatCount(units)} ${label.toLowerCase()}`];
  const samples = judgedOver(dead, place, record);
  if (state === UNIT.dead && of(state) > 0) parts.push(`fired in 0 of at least ${plural(samples, 'sample')}`);
  else parts.push(`judged over ${plural(samples, 'sample')}`);
  return parts.join(' · ');
}

/** One line a record, and for each activation how many units are in the state, of how many. */
export function countsTable(
  dead: DeadSeries,
  state: number,
  names: readonly string[],
  shown: readonly number[],
): Table {
  const places = shown.map((row) => dead.activations.indexOf(row)).filter((place) => place >= 0);
  const name = (place: number) =>
    `${names[dead.activations[place]!] ?? ''} (of ${formatCount(dead.units[place]!)})`;
  return {
    columns: ['first step', 'last step', ...places.map(name)],
    rowCount: dead.steps.length,
    row: (record) => [
      dead.steps[record]! - Math.max(1, dead.spans[record] || 1) + 1,
      dead.steps[record]!,
      ...places.map((place) =>
        isRecorded(dead, place, record) ? countOf(dead, place, state, record) : 'not recorded',
      ),
    ],
  };
}
