/** Evidence as curves with their threshold. */
import { formatValue } from '../../charts/numbers';
import { type Level, type ScaleKind, type Series, STATE } from '../../charts/types';
import type { EvidenceLine } from '../../data/findings';

/** From this ratio on, values are told apart by their decades. */
const DECADES = 300;

/** Lines that share a chart. */
export interface EvidenceChart {
  readonly title: string;
  /** The lines with their names in the chart, which are empty where there is one. */
  readonly curves: readonly { readonly name: string; readonly line: EvidenceLine }[];
}

/** Lines of one statistic with one threshold share a chart; what their labels share is its title. */
export function chartsOf(
  lines: readonly EvidenceLine[],
  titleOf: (statistic: string) => string,
): EvidenceChart[] {
  const groups = new Map<string, EvidenceLine[]>();
  for (const line of lines) {
    const key = JSON.stringify([line.statistic, line.threshold]);
    groups.set(key, [...(groups.get(key) ?? []), line]);
  }
  return [...groups.values()].map((group) => {
    if (group.length === 1) return { title: group[0]!.label, curves: [{ name: '', line: group[0]! }] };
    const shared = sharedEnd(group.map(({ label }) => label));
    return {
      title: shared === '' ? titleOf(group[0]!.statistic) : shared.slice(END.length),
      curves: group.map((line) => ({ name: line.label.slice(0, line.label.length - shared.length), line })),
    };
  });
}

/** What stands behind the name of a layer in a label: "fc1: share of units". */
const END = ': ';

/** ": share of units", if all labels end so; else nothing. */
function sharedEnd(labels: readonly string[]): string {
  const at = labels[0]!.lastIndexOf(END);
  const end = at < 0 ? '' : labels[0]!.slice(at);
  return labels.every((label) => label.endsWith(end)) ? end : '';
}

export function curveOf({ steps, values }: EvidenceLine, label = ''): Series {
  const at = Float64Array.from(steps);
  return {
    label,
    steps: at,
    // A point stands for the steps since the one before: those between were thinned out, or are in its record.
    spans: at.map((step, index) => (index === 0 ? 1 : step - at[index - 1]!)),
    values: Float64Array.from(values, (value) => value ?? Number.NaN),
    states: Uint8Array.from(values, (value) => (value === null ? STATE.notRecorded : STATE.number)),
  };
}

/** The scale that shows all values and thresholds alike. */
export function scaleOf(lines: readonly EvidenceLine[]): ScaleKind {
  const shown = lines
    .flatMap(({ values, threshold }) => [...values, threshold])
    .filter((value) => value !== null);
  const positive = shown.filter((value) => value > 0);
  const [low, high] = [Math.min(...positive), Math.max(...positive)];
  if (positive.length > 0 && Math.min(...shown) >= 0 && high / low >= DECADES) return 'log';
  const isShare = shown.every((value) => value >= 0 && value <= 1) && high > 0.1;
  return isShare ? 'fraction' : 'linear';
}

/** The threshold as a level; on a scale of decades there is none at zero. */
export function levelsOf({ threshold }: EvidenceLine, scale: ScaleKind): Level[] {
  if (threshold === null || (scale === 'log' && threshold <= 0)) return [];
  return [{ value: threshold, label: `threshold ${formatValue(threshold)}`, severity: 'critical' }];
}
