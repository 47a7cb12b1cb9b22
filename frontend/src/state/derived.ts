/** What follows from the selection and the data. */
import { computed } from '@preact/signals';
import { stepExtent } from '../charts/columns';
import type { Domain } from '../charts/types';
import type { Layer, Metric, StatisticInfo } from '../data/types';
import { makeFilter, rowLabels } from './layers';
import { skips, widened } from './scaling';
import * as selection from './selection';
import { recordAt } from './steps';
import { catalogue, metrics, network, run } from './store';

type Axis = Pick<Metric, 'steps' | 'spans'>;

const NO_AXIS: Axis = { steps: new Float64Array(0), spans: new Float64Array(0) };

export const layers = computed<readonly Layer[]>(() => run.value.value?.layers ?? []);

/** The recorded statistics of layers and parameters, or of activations, in the catalogue's order. */
export function recordedStatistics(rows: StatisticInfo['rows']): readonly StatisticInfo[] {
  const recorded = new Set(run.value.value?.statistics);
  return catalogue.value.value?.statistics.filter((one) => one.rows === rows && recorded.has(one.id)) ?? [];
}

/** What has the axis of steps: the records of the network, or the longest metric where there are none. */
export const axis = computed<Axis>(() => {
  const whole = network.value.value;
  if (whole !== null && whole.steps.length > 0) return whole;
  const all = metrics.value.value ?? [];
  return all.reduce<Axis>(
    (longest, one) => (one.steps.length > longest.steps.length ? one : longest),
    NO_AXIS,
  );
});

/** Last steps of all records. */
export const steps = computed(() => axis.value.steps);

/** The steps that records cover, and those that were left out before the first or after the last. */
export const extent = computed<Domain>(() => {
  const { steps, spans } = axis.value;
  return steps.length === 0 ? stepExtent(steps, spans) : widened(stepExtent(steps, spans), skips.value);
});

/** The selected step, with the newest one in the place of null; null without records. */
export const step = computed<number | null>(() => selection.step.value ?? steps.value.at(-1) ?? null);

/** The recorded step at or after the selected one. */
export const recordedStep = computed<number | null>(() => {
  if (step.value === null || steps.value.length === 0) return null;
  return steps.value[recordAt(steps.value, step.value)]!;
});

/** Index of the selected layer; null where the run has no such layer. */
export const layerIndex = computed<number | null>(() => {
  const index = layers.value.findIndex(({ name }) => name === selection.layer.value);
  return index < 0 ? null : index;
});

export const selectedLayer = computed<Layer | null>(() =>
  layerIndex.value === null ? null : layers.value[layerIndex.value]!,
);

/** Index of the selected parameter: the chosen one while it belongs to the selected layer, else that layer's first. */
export const selectedParameter = computed<number | null>(() => {
  const own = selectedLayer.value?.parameters ?? [];
  const parameters = run.value.value?.parameters ?? [];
  return own.find((index) => parameters[index]?.name === selection.parameter.value) ?? own[0] ?? null;
});

export const filter = computed(() => makeFilter(selection.filter.value));

export const layerLabels = computed(() => (run.value.value ? rowLabels(run.value.value, 'layers') : []));

/** Layers that pass the filter, in network order. */
export const shownLayers = computed(() => {
  const { test } = filter.value;
  return layers.value.flatMap(({ name }, index) => (test(name) ? [index] : []));
});
