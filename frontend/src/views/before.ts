/** What changed in the records just before something began. */
import type { Series as Curve } from '../charts/types';

export interface Change {
  /** Name of the curve. */
  readonly name: string;
  readonly step: number;
  /** The value farthest from the usual one; NaN where it was not finite. */
  readonly value: number;
  /** How many times the median before; NaN beside a value that is not finite. */
  readonly factor: number;
}

/** Nothing is said of a change by less than this factor. */
const STRIKING = 2;
/** Records from which the usual value is known. */
const KNOWN = 8;
/** The time before is so many times as long: what changed long ago did not change just before. */
const LONGER = 4;

/** The largest change of a curve in the steps `from` to `to`, measured against the time before; null where there is none. */
export function changeIn(
  name: string,
  curve: Curve,
  from: number,
  to: number,
  least = STRIKING,
): Change | null {
  const { steps, values } = curve;
  const since = from - LONGER * (to - from);
  const past = (value: number, record: number) =>
    steps[record]! < from && steps[record]! >= since && value > 0;
  const usual = median(Array.from(values).filter(past));
  if (usual === null) return null;
  let largest: Change | null = null;
  for (let record = 0; record < steps.length; record++) {
    const step = steps[record]!;
    if (step < from || step > to) continue;
    const value = values[record]!;
    if (!Number.isFinite(value)) return { name, step, value: Number.NaN, factor: Number.NaN };
    const factor = value / usual;
    if (value > 0 && distance(factor) > distance(largest?.factor ?? 1))
      largest = { name, step, value, factor };
  }
  return largest !== null && distance(largest.factor) >= Math.log(least) ? largest : null;
}

/** The last number of a curve in the steps `from` to `to`; null where it has none there. */
export function levelIn({ steps, values }: Curve, from: number, to: number): number | null {
  for (let record = steps.length - 1; record >= 0; record--)
    if (steps[record]! >= from && steps[record]! <= to && Number.isFinite(values[record]))
      return values[record]!;
  return null;
}

const distance = (factor: number) => Math.abs(Math.log(factor));

function median(values: number[]): number | null {
  return values.length < KNOWN ? null : values.sort((a, b) => a - b)[values.length >> 1]!;
}
