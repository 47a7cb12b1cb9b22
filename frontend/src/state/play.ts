/** Plays the run: the step moves on by itself. */
import { signal } from '@preact/signals';
import { selectStep } from './actions';
import { step, steps } from './derived';
import { recordAt } from './steps';

const TICK = 100;
/** A run of any length plays in about this many ticks. */
const TICKS = 240;

export const playing = signal(false);

let timer: ReturnType<typeof setInterval> | undefined;

/** Start or stop; at the end it starts from the beginning. */
export function togglePlay(): void {
  if (playing.value) stopPlaying();
  else {
    if (steps.value.length < 2) return;
    if (record() >= steps.value.length - 1) selectStep(steps.value[0]!);
    playing.value = true;
    timer = setInterval(tick, TICK);
  }
}

export function stopPlaying(): void {
  playing.value = false;
  clearInterval(timer);
}

function tick(): void {
  const last = steps.value.length - 1;
  const next = Math.min(last, record() + Math.max(1, Math.round(steps.value.length / TICKS)));
  selectStep(steps.value[next]!);
  if (next >= last) stopPlaying();
}

function record(): number {
  return step.value === null ? 0 : recordAt(steps.value, step.value);
}
