/** Plays the steps of an embedding: the next one comes once its points are there. */
import {
  embeddingStep,
  embeddingSteps,
  ownSide,
  pointsStore,
  queryOf,
  sceneIn,
  sides,
  troubleOf,
} from './embeddings';
import { StepPlayer } from './step-player';

/** All steps play in about this many milliseconds, but each of them is seen. */
const WHOLE = 14_000;
const SHORTEST = 120;
const LONGEST = 700;

/** How long a step takes while playing, in milliseconds. */
export function pace(steps: number): number {
  return Math.min(LONGEST, Math.max(SHORTEST, WHOLE / Math.max(1, steps)));
}

export const embeddingPlayer = new StepPlayer({
  steps: embeddingSteps,
  step: embeddingStep,
  pace,
  isReady,
});

function isReady(next: number): boolean {
  const own = ownSide.peek();
  if (own === null) return false;
  const isDrawn = sceneIn(0)?.side.step === own.step || troubleOf(own) !== null;
  const coming = [...sides.peek(), { ...own, step: next }];
  return isDrawn && coming.every((side) => pointsStore.isSettled(queryOf(side)));
}
