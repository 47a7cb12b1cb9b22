/** The axis of steps of this view: that of the embedding's own records, with the zoom of the page. */
import { computed } from '@preact/signals';
import { stepExtent } from '../../charts/columns';
import type { Domain, Selection, StepDomain } from '../../charts/types';
import { embedding, embeddingStep } from '../../state/embeddings';
import { embeddingPlayer } from '../../state/embeddings-play';
import { tracks } from '../../state/embeddings-tables';
import * as selection from '../../state/selection';
import { stepAtOrBefore } from '../../state/steps';

const allSteps = computed<Float64Array>(() => {
  const own = embedding.value;
  const lists = [
    ...(own?.layouts.map(({ steps }) => steps) ?? []),
    own?.measures.steps ?? [],
    ...(tracks.value.value ?? []).flatMap(({ layout, measures }) => [
      layout?.steps ?? [],
      measures?.steps ?? [],
    ]),
  ];
  return Float64Array.from(new Set(lists.flat())).sort();
});

const extent = computed<Domain>(() => stepExtent(allSteps.value, new Float64Array(0)));

export const embeddingAxis: StepDomain = { extent, zoom: selection.zoom };

export const embeddingSelection = computed<Selection>(() => ({ row: null, step: embeddingStep.value }));

/** Go to the record at a step of the axis, or before it. */
export function goToStep(step: number): void {
  const to = stepAtOrBefore([...allSteps.value], step);
  if (to !== null) embeddingPlayer.select(to);
}
