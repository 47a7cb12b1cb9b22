/** How a statistic spreads over layers, record by record. */
import { type Series, STATE } from '../data/types';

export interface Spread {
  readonly low: Float32Array;
  readonly middle: Float32Array;
  readonly high: Float32Array;
}

/** The tenth, the half and nine tenths of the rows without `except`; NaN in records where fewer than three have a value. */
export function spreadOf(series: Series, except: number | null): Spread {
  const { rows, steps, values } = series;
  const { sorted, counts } = sortRecords(series);
  const length = steps.length;
  const spread = {
    low: new Float32Array(length).fill(Number.NaN),
    middle: new Float32Array(length).fill(Number.NaN),
    high: new Float32Array(length).fill(Number.NaN),
  };
  for (let record = 0; record < length; record++) {
    const all = sorted.subarray(record * rows.length, record * rows.length + counts[record]!);
    const left = isNumber(series, except, record)
      ? all.indexOf(values[except! * length + record]!)
      : all.length;
    const count = left < all.length ? all.length - 1 : all.length;
    if (count < 3) continue;
    const at = (share: number) => {
      const place = Math.round(share * (count - 1));
      return all[place < left ? place : place + 1]!;
    };
    spread.low[record] = at(0.1);
    spread.middle[record] = at(0.5);
    spread.high[record] = at(0.9);
  }
  return spread;
}

interface Sorted {
  /** [T, R] The numbers of each record, the smallest first. */
  readonly sorted: Float32Array;
  /** [T] How many they are. */
  readonly counts: Uint32Array;
}

const known = new WeakMap<Series, Sorted>();

/** Sorted once for a series, so that another row costs little. */
function sortRecords(series: Series): Sorted {
  const found = known.get(series);
  if (found) return found;
  const { rows, steps, values } = series;
  const length = steps.length;
  const sorted = new Float32Array(length * rows.length);
  const counts = new Uint32Array(length);
  for (let record = 0; record < length; record++) {
    const begin = record * rows.length;
    let end = begin;
    for (let row = 0; row < rows.length; row++)
      if (isNumber(series, row, record)) sorted[end++] = values[row * length + record]!;
    sorted.subarray(begin, end).sort();
    counts[record] = end - begin;
  }
  known.set(series, { sorted, counts });
  return { sorted, counts };
}

function isNumber({ rows, steps, values, states }: Series, row: number | null, record: number): boolean {
  if (row === null || row < 0 || row >= rows.length) return false;
  const cell = row * steps.length + record;
  return states[cell] === STATE.number && Number.isFinite(values[cell]);
}
