/** Thresholds of the rules that a reader moved: as text in the address, and as places on a slider. */
import type { ThresholdInfo } from '../data/findings';

/** By "rule.name", where a threshold stands that is not at its default. */
export type Moved = ReadonlyMap<string, number>;

type Range = Pick<ThresholdInfo, 'default' | 'least' | 'most'>;

/** Places of a slider. */
export const PLACES = 1000;
/** From this ratio of its ends on, a slider counts in factors. */
const WIDE = 50;
const DIGITS = 3;

export const keyOf = ({ rule, name }: Pick<ThresholdInfo, 'rule' | 'name'>) => `${rule}.${name}`;

/** "rule.name:value,…"; what makes no sense is left out. */
export function parseMoved(text: string): Moved {
  const moved = new Map<string, number>();
  for (const part of text.split(',')) {
    const [, key, value] = /^([\w.]+):([-+.\de]+)$/i.exec(part) ?? [];
    if (key !== undefined && Number.isFinite(Number(value))) moved.set(key, Number(value));
  }
  return moved;
}

/** The same text for the same thresholds, in whatever order they were moved. */
export function formatMoved(moved: Moved): string {
  return [...moved]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}:${value}`)
    .join(',');
}

/** `moved` with one threshold where the reader put it; at its default it counts as not moved. */
export function withThreshold(moved: Moved, info: ThresholdInfo, value: number): Moved {
  const next = new Map(moved);
  if (value === info.default) next.delete(keyOf(info));
  else next.set(keyOf(info), value);
  return next;
}

/** Where a value stands on the slider, 0 to PLACES. */
export function toPlace(range: Range, value: number): number {
  const { least, most } = range;
  const share = isWide(range)
    ? Math.log(value / least) / Math.log(most / least)
    : (value - least) / (most - least);
  return Math.round(PLACES * Math.min(1, Math.max(0, share)));
}

/** The value at a place: round, and exactly the default or an end at their places. */
export function fromPlace(range: Range, place: number): number {
  const { least, most } = range;
  if (place === toPlace(range, range.default)) return range.default;
  const share = place / PLACES;
  return toValue(range, isWide(range) ? least * (most / least) ** share : least + share * (most - least));
}

/** What is typed or slid to, as a value that the server takes. */
export function toValue(range: Range, value: number): number {
  const round = isWhole(range) ? Math.round(value) : Number(value.toPrecision(DIGITS));
  return Math.min(range.most, Math.max(range.least, round));
}

const isWide = ({ least, most }: Range) => least > 0 && most / least >= WIDE;

const isWhole = ({ default: usual, least, most }: Range) =>
  most > 1 && [usual, least, most].every(Number.isInteger);
