/** Plays the steps of an embedding: the next one comes once its points are there. */
import { signal } from '@preact/signals';
import {
  embeddingStep,
  embeddingSteps,
  ownSide,
  pointsStore,
  queryOf,
  type Side,
  sceneIn,
  selectEmbeddingStep,
  sides,
  troubleOf,
} from './embeddings';
import { stopPlaying } from './play';

/** All steps play in about this many milliseconds, but each of them is seen. */
const WHOLE = 14_000;
const SHORTEST = 120;
const LONGEST = 700;
/** Steps that are fetched beforehand, when playing and when not. */
const AHEAD = { playing: 4, resting: 1 };

export const playingEmbedding = signal(false);

let timer: ReturnType<typeof setTimeout> | undefined;

/** How long a step takes while playing, in milliseconds. */
export function pace(steps: number): number {
  return Math.min(LONGEST, Math.max(SHORTEST, WHOLE / Math.max(1, steps)));
}

/** Start or stop; at the end it starts from the beginning. */
export function togglePlayEmbedding(): void {
  if (playingEmbedding.value) {
    stopEmbedding();
    return;
  }
  const steps = embeddingSteps.value;
  if (steps.length < 2) return;
  stopPlaying();
  if (embeddingStep.value === steps.at(-1)) selectEmbeddingStep(steps[0]!);
  playingEmbedding.value = true;
  wait();
}

export function stopEmbedding(): void {
  playingEmbedding.value = false;
  clearTimeout(timer);
}

/** The own side at the steps that come next, then at the one before. */
export function sidesAhead(): Side[] {
  const own = ownSide.value;
  const steps = embeddingSteps.value;
  if (own === null) return [];
  const at = steps.indexOf(own.step);
  const count = playingEmbedding.value ? AHEAD.playing : AHEAD.resting;
  const next = steps.slice(at + 1, at + 1 + count);
  const before = playingEmbedding.value ? [] : steps.slice(Math.max(0, at - 1), at);
  return [...next, ...before].map((step) => ({ ...own, step }));
}

function wait(): void {
  clearTimeout(timer);
  timer = setTimeout(tick, pace(embeddingSteps.peek().length));
}

function tick(): void {
  const own = ownSide.peek();
  const steps = embeddingSteps.peek();
  const next = own === null ? undefined : steps[steps.indexOf(own.step) + 1];
  if (own === null || next === undefined) {
    stopEmbedding();
    return;
  }
  const isDrawn = sceneIn(0)?.side.step === own.step || troubleOf(own) !== null;
  const coming = [...sides.peek(), { ...own, step: next }];
  if (isDrawn && coming.every((side) => pointsStore.isSettled(queryOf(side)))) selectEmbeddingStep(next);
  wait();
}
