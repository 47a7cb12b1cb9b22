/** What may have killed the units of a layer: its update and its gradient, over the steps. */
import { useComputed } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import type { Series as Curve } from '../../charts/types';
import { type Series, STATE } from '../../data/types';
import { activationIndex, activations } from '../../state/activations';
import { layers } from '../../state/derived';
import { aboutSeries, run } from '../../state/store';
import { rowCurve } from '../curves';
import { useFollow } from '../use-follow';
import { nameOr } from '../words';

export interface Causes {
  /** Name of the layer that makes the selected activation; empty where none is known. */
  readonly layer: string;
  /** Null where they were not recorded. */
  readonly ratio: Curve | null;
  readonly update: Curve | null;
  readonly gradient: Curve | null;
}

export function useCauses(): Causes {
  const row = useComputed(() => activations.value[activationIndex.value ?? -1]?.layer ?? null);
  const ratio = useRow(() => aboutLayer('update_ratio', row.value), row.value);
  const weight = useRow(() => aboutLayer('weight_norm', row.value), row.value);
  const gradient = useRow(() => aboutLayer('gradient_norm', row.value), row.value);
  const layer = layers.value[row.value ?? -1];
  return useMemo(
    () => ({
      layer: layer === undefined ? '' : nameOr(layer.name),
      ratio: ratio && rowCurve(ratio, 0, ''),
      update: ratio && weight && rowCurve(updateOf(ratio, weight), 0, ''),
      gradient: gradient && rowCurve(gradient, 0, ''),
    }),
    [layer, ratio, weight, gradient],
  );
}

function aboutLayer(statistic: string, row: number | null) {
  const recorded = run.value.value?.statistics.includes(statistic);
  return row === null || !recorded ? null : aboutSeries({ statistic, rows: 'layers', row });
}

function useRow(wanted: Parameters<typeof useFollow<Series>>[0], row: number | null): Series | null {
  const { value } = useFollow(wanted).value;
  return value?.rows[0] === row ? value : null;
}

/** The norm of the update, from its share of the weights' norm and that norm. */
export function updateOf(ratio: Series, weight: Series): Series {
  const places = new Map(Array.from(weight.steps, (step, record) => [step, record]));
  const values = ratio.values.slice();
  const states = ratio.states.slice();
  for (const [record, step] of ratio.steps.entries()) {
    const same = places.get(step);
    if (same === undefined || weight.states[same] !== STATE.number) states[record] = STATE.missing;
    else values[record]! *= weight.values[same]!;
  }
  return { ...ratio, statistic: 'update_norm', values, states, low: null, high: null };
}
