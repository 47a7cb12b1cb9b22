/** Data as curves over steps. */
import type { Series as Curve } from '../charts/types';
import { type Metric, type Series, STATE } from '../data/types';

type Look = Partial<Pick<Curve, 'label' | 'color' | 'dashed'>>;

/** One row of a series, with its band where it has one; only the records that the row has. */
export function rowCurve(series: Series, place: number, label: string, look: Look = {}): Curve {
  const length = series.steps.length;
  const own = ownRecords(series.states.subarray(place * length, (place + 1) * length));
  const pick = (all: Float64Array) => Float64Array.from(own, (record) => all[record]!);
  const cut = (matrix: Float32Array) => Float32Array.from(own, (record) => matrix[place * length + record]!);
  return {
    label,
    steps: pick(series.steps),
    spans: pick(series.spans),
    values: cut(series.values),
    states: Uint8Array.from(own, (record) => series.states[place * length + record]!),
    ...(series.low && series.high ? { low: cut(series.low), high: cut(series.high) } : {}),
    ...look,
  };
}

/** Records in which a row was recorded: its own pace says what is a gap. */
function ownRecords(states: Uint8Array): number[] {
  const own: number[] = [];
  for (const [record, state] of states.entries()) if (state !== STATE.missing) own.push(record);
  return own;
}

export function metricCurve(metric: Metric, look: Look = {}): Curve {
  const { name, steps, spans, mean, min, max } = metric;
  return { label: name, steps, spans, values: mean, low: min, high: max, ...look };
}
