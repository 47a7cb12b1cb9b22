/** What all charts of a page share. */
import { computed } from '@preact/signals';
import { placeColumns } from '../charts/columns';
import { pageTheme } from '../charts/theme';
import type { Matrix, Selection, StatisticLabel, StepDomain } from '../charts/types';
import type { Series } from '../data/types';
import { selectLayer, selectStep } from '../state/actions';
import { axis, extent, layerIndex, recordedStep } from '../state/derived';
import { findingList, selectedFinding } from '../state/findings';
import * as selection from '../state/selection';
import { statisticInfo } from './explain';
import { rowFlags } from './marks';

/** The axis of steps of the whole page. */
export const steps: StepDomain = { extent, zoom: selection.zoom };

export const { hover } = selection;

/** Row and step, where rows are layers. */
export const layerSelection = computed<Selection>(() => ({
  row: layerIndex.value,
  step: recordedStep.value,
}));

/** What is said about layers. */
export const flags = computed(() => rowFlags(findingList.value, selectedFinding.value));

/** The records of the page's axis: other curves may have finer ones, between which its cursor knows no difference. */
export const records = computed(() => placeColumns(axis.value.steps, axis.value.spans));

/** Step only, for charts without rows. */
export const stepSelection = computed<Selection>(() => ({ row: null, step: recordedStep.value }));

export function onSelect({ row, step }: Partial<Selection>): void {
  if (row !== undefined && row !== null) selectLayer(row);
  if (step !== undefined && step !== null) selectStep(step);
}

const matrices = new WeakMap<Series, Matrix>();

/** A series as the charts take it: always the same object for a series, so that what follows from it is found again. */
export function toMatrix(series: Series): Matrix {
  const { rows, steps, spans, values, states } = series;
  const matrix = matrices.get(series) ?? { rows: rows.length, steps, spans, values, states };
  matrices.set(series, matrix);
  return matrix;
}

/** The words of a statistic, as good as they are known. */
export function labelOf(id: string): StatisticLabel {
  const info = statisticInfo(id);
  return { label: info?.label ?? id, unit: info?.unit ?? '', scale: info?.scale ?? 'log' };
}

/** The value of one of the page's colours, which a canvas can use; follows the theme. */
export function colour(token: string): string {
  void pageTheme().value;
  return getComputedStyle(document.documentElement).getPropertyValue(`--${token}`).trim();
}
