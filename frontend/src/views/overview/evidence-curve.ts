/** Evidence as a curve with its threshold. */
import { formatValue } from '../../charts/numbers';
import { type Level, type ScaleKind, type Series, STATE } from '../../charts/types';
import type { EvidenceLine } from '../../data/findings';

/** From this ratio on, values are told apart by their decades. */
const DECADES = 300;

export function curveOf({ steps, values }: EvidenceLine): Series {
  const at = Float64Array.from(steps);
  return {
    label: '',
    steps: at,
    // A point stands for the steps since the one before: those between were thinned out, or are in its record.
    spans: at.map((step, index) => (index === 0 ? 1 : step - at[index - 1]!)),
    values: Float64Array.from(values, (value) => value ?? Number.NaN),
    states: Uint8Array.from(values, (value) => (value === null ? STATE.notRecorded : STATE.number)),
  };
}

/** The scale that shows the values and the threshold alike. */
export function scaleOf({ values, threshold }: EvidenceLine): ScaleKind {
  const shown = [...values, threshold].filter((value) => value !== null);
  const positive = shown.filter((value) => value > 0);
  const [low, high] = [Math.min(...positive), Math.max(...positive)];
  if (positive.length > 0 && Math.min(...shown) >= 0 && high / low >= DECADES) return 'log';
  const isShare = shown.every((value) => value >= 0 && value <= 1) && high > 0.1;
  return isShare ? 'fraction' : 'linear';
}

export function levelsOf({ threshold }: EvidenceLine): Level[] {
  if (threshold === null) return [];
  return [{ value: threshold, label: `threshold ${formatValue(threshold)}`, severity: 'critical' }];
}
