/** What the Dead units view opens on: the largest death, or the activation with most dead units. */

import type { ReadonlySignal } from '@preact/signals';
import { batch, useSignalEffect } from '@preact/signals';
import type { Resource } from '../../data/resource';
import type { DeadSeries, Death } from '../../data/types';
import { selectStep } from '../../state/actions';
import { activationIndex, selectActivation } from '../../state/activations';
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
    if (isUntouched()) open(worst, moments);
    else if (activationIndex.peek() === null) selectActivation(worst ?? counts.activations[0] ?? -1);
  });
}

function open(worst: number | null, moments: readonly Death[]): void {
  if (worst === null) return;
  const moment = moments.find(({ activation }) => activation === worst);
  batch(() => {
    selectActivation(worst);
    if (moment === undefined) return;
    selectStep(moment.step);
    selection.unit.value = moment.units[0] ?? null;
  });
}
