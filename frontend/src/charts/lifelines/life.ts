/** What a unit did record by record, and how it is read. */

import { UNIT } from '../../lib/units';
import type { Columns } from '../columns';
import { formatCount, formatShare, formatSteps, formatValue } from '../numbers';

/** One unit; arrays have one entry a record. */
export interface UnitLife {
  readonly unit: number;
  readonly columns: Columns;
  /** [T] of UNIT. */
  readonly states: ArrayLike<number>;
  /** [T] Share of `counted` samples in which it was above zero. */
  readonly fired: ArrayLike<number>;
  readonly mean: ArrayLike<number>;
  readonly std: ArrayLike<number>;
  readonly largest: ArrayLike<number>;
  /** [T] Samples whose largest value was read, and those that the shares are of. */
  readonly samples: ArrayLike<number>;
  readonly counted: ArrayLike<number>;
}

/** Beside a unit that another one of its layer is like, or opposite to. */
export interface TwinMark {
  readonly opposite: boolean;
  /** "the same as unit 3 within 0.02 %, over 2,048 samples" */
  readonly words: string;
}

/** A stretch of records, without `to`, in which a unit has one state. */
export interface Stretch {
  readonly state: number;
  readonly from: number;
  readonly to: number;
}

export function stretchesOf(states: ArrayLike<number>): Stretch[] {
  const found: Stretch[] = [];
  for (let record = 0; record < states.length; ) {
    const from = record;
    while (record < states.length && states[record] === states[from]) record++;
    found.push({ state: states[from]!, from, to: record });
  }
  return found;
}

/** Whether a state is a verdict that takes several records, so that it began before it was passed. */
const isVerdict = (state: number | undefined) =>
  state === UNIT.dead || state === UNIT.saturated || state === UNIT.frozen;

/** First record of the silence that a verdict at `record` stands on; `record` itself for what is no verdict. */
export function beginningOf(states: ArrayLike<number>, record: number): number {
  const state = states[record];
  let first = record;
  while (first > 0 && states[first - 1] === state) first--;
  if (isVerdict(state)) while (first > 0 && states[first - 1] === UNIT.silent) first--;
  return first;
}

/** Where a unit died, came back or was pinned. */
export interface Turn {
  readonly state: number;
  readonly record: number;
}

export function turnsOf(states: ArrayLike<number>): Turn[] {
  return stretchesOf(states)
    .filter(({ state }) => isVerdict(state) || state === UNIT.revived)
    .map(({ state, from }) => ({ state, record: beginningOf(states, from) }));
}

/**
 * "unit 37 · step 424–431 · dead since step 424 · fired in 0 of 1,024 samples · mean 0 · largest −0.3"
 *
 * @param names What the states are called, by their codes.
 */
export function lifeWords(life: UnitLife, record: number, names: readonly string[]): string {
  const { unit, columns, states, mean, std, largest } = life;
  if (record < 0) return `unit ${formatCount(unit)} · not recorded`;
  const state = states[record]!;
  const parts = [
    `unit ${formatCount(unit)}`,
    `step ${formatSteps(columns.first[record]!, columns.last[record]!)}`,
  ];
  parts.push(stateWords(life, record, names));
  if (state === UNIT.neverRun || state === UNIT.notRecorded) return parts.join(' · ');
  parts.push(firedWords(life, record));
  parts.push(`mean ${formatValue(mean[record]!)} ± ${formatValue(std[record]!)}`);
  parts.push(`largest ${formatValue(largest[record]!)}`);
  return parts.join(' · ');
}

/** "dead since step 424" */
export function stateWords({ states, columns }: UnitLife, record: number, names: readonly string[]): string {
  const state = states[record]!;
  const words = names[state] ?? 'unknown';
  if (!isVerdict(state) && state !== UNIT.revived) return words;
  return `${words} since step ${formatCount(columns.first[beginningOf(states, record)]!)}`;
}

/** "fired in 12 of 1,024 samples"; where no value was above zero, that holds for every sample that was read. */
export function firedWords({ fired, largest, samples, counted }: UnitLife, record: number): string {
  if (largest[record]! <= 0) return `fired in 0 of ${formatCount(samples[record]!)} samples`;
  const share = fired[record]!;
  if (!Number.isFinite(share)) return 'firing not recorded';
  return `fired in ${formatCount(share * counted[record]!)} of ${formatCount(counted[record]!)} samples`;
}

/** A few words for the right edge of a row: what its last record says. */
export function remarkOf(life: UnitLife, names: readonly string[]): string {
  const record = life.states.length - 1;
  const state = life.states[record];
  if (state === undefined) return '';
  if (state === UNIT.alive || state === UNIT.sparse) return `fires on ${formatShare(life.fired[record]!)}`;
  return stateWords(life, record, names).replace('since step', 'since');
}
