/** How a statistic spreads over layers, record by record. */
import { type Series, STATE } from '../data/types';

export interface Spread {
  readonly low: Float32Array;
  readonly middle: Float32Array;
  readonly high: Float32Array;
}

/** The tenth, the half and nine tenths of the rows without `except`; NaN in records where fewer than three have a value. */
export function spreadOf({ rows, steps, values, states }: Series, except: number | null): Spread {
  const length = steps.length;
  const spread = {
    low: new Float32Array(length).fill(Number.NaN),
    middle: new Float32Array(length).fill(Number.NaN),
    high: new Float32Array(length).fill(Number.NaN),
  };
  const buffer = new Float64Array(rows.length);
  for (let record = 0; record < length; record++) {
    let count = 0;
    for (let row = 0; row < rows.length; row++) {
      const cell = row * length + record;
      if (row !== except && states[cell] === STATE.number && Number.isFinite(values[cell]))
        buffer[count++] = values[cell]!;
    }
    if (count < 3) continue;
    const sorted = buffer.subarray(0, count).sort();
    const at = (share: number) => sorted[Math.round(share * (count - 1))]!;
    spread.low[record] = at(0.1);
    spread.middle[record] = at(0.5);
    spread.high[record] = at(0.9);
  }
  return spread;
}
