/** What the Dead units view opens on: the largest death, or the activation with most dead units. */

import type { ReadonlySignal } from '@preact/signals';
import { batch, useSignalEffect } from '@preact/signals';
import type { Resource } from '../../data/resource';
import type { DeadSeries, Death } from '../../data/types';
import { selectStep } from '../../state/actions';
import { activations, selectActivation } from '../../state/activations';
import { layerIndex } from '../../state/derived';
import { isUntouched } from '../../state/opening';
import * as selection from '../../state/selection';
import { worstActivation } from './counts';

/** Select it once both answers are there, as long as nothing was selected before. */
export function useOpening(
  dead: ReadonlySignal<Resource<DeadSeries>>,
  deaths: ReadonlySignal<Resource<Death[]>>,
): void {
  useSignalEffect(() => {
    const counts = dead.value.value;
    const moments = deaths.value.value;
    if (counts === null || moments === null) return;
    const worst = worstActivation(counts);
    if (worst !== null && isUntouched()) open(worst, moments);
    else if (selection.activation.value === null) openLayer(counts, layerIndex.value);
  });
}

/** A layer may have several outputs: its own, and that of the function behind it, where units die. */
function openLayer(counts: DeadSeries, layer: number | null): void {
  const own = counts.activations.filter((index) => activations.peek()[index]?.layer === layer);
  const chosen = worstActivation(counts, own) ?? own[0] ?? worstActivation(counts) ?? counts.activations[0];
  const name = activations.peek()[chosen ?? -1]?.name;
  if (name !== undefined) selection.activation.value = name;
}

function open(worst: number, moments: readonly Death[]): void {
  const moment = moments.find(({ activation }) => activation === worst);
  batch(() => {
    selectActivation(worst);
    if (moment === undefined) return;
    selectStep(moment.step);
    selection.unit.value = moment.units[0] ?? null;
  });
}
