/** Data as curves over steps. */
import type { Series as Curve } from '../charts/types';
import type { Metric, Series } from '../data/types';
import { recordAt } from '../state/steps';

type Look = Partial<Pick<Curve, 'label' | 'color' | 'dashed'>>;

/** One row of a series, with its band where it has one. */
export function rowCurve(series: Series, place: number, label: string, look: Look = {}): Curve {
  const length = series.steps.length;
  const cut = <A extends Float32Array | Uint8Array>(matrix: A) =>
    matrix.subarray(place * length, (place + 1) * length) as A;
  return {
    label,
    steps: series.steps,
    spans: series.spans,
    values: cut(series.values),
    states: cut(series.states),
    ...(series.low && series.high ? { low: cut(series.low), high: cut(series.high) } : {}),
    ...look,
  };
}

export function metricCurve(metric: Metric, look: Look = {}): Curve {
  const { name, steps, spans, mean, min, max } = metric;
  return { label: name, steps, spans, values: mean, low: min, high: max, ...look };
}

/** The value of a curve at a step: that of the record that holds it, or of the last one before. */
export function valueAt({ steps, values }: Curve, step: number): number | null {
  if (steps.length === 0) return null;
  const record = recordAt(steps, step);
  return values[record] ?? null;
}
