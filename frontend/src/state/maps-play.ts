/** Plays the steps of a probe: the next one comes once its maps are there. */
import { inView, pages, probeStep, probeSteps, side, sides } from './maps';
import { pageQueries } from './maps-wanted';
import { StepPlayer } from './step-player';

/** Milliseconds to a step. */
const PACE = 160;

export const mapsPlayer = new StepPlayer({
  steps: probeSteps,
  step: probeStep,
  pace: () => PACE,
  isReady,
});

function isReady(next: number): boolean {
  const own = side.peek();
  if (own === null) return false;
  const wanted = [...sides.peek(), { ...own, step: next }];
  return wanted.flatMap((one) => pageQueries(one, inView.peek())).every((query) => pages.isSettled(query));
}
