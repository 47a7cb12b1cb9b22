/** Plays the steps of a probe: the next one comes once its maps are there. */
import { signal } from '@preact/signals';
import { inView, pages, probe, probeStep, selectProbeStep, side, sides } from './maps';
import { pageQueries, type Side } from './maps-wanted';
import { stopPlaying } from './play';

const TICK = 160;
/** Steps that are fetched beforehand, when playing and when not. */
const AHEAD = { playing: 4, resting: 1 };

export const playingMaps = signal(false);

let timer: ReturnType<typeof setInterval> | undefined;

/** Start or stop; at the end it starts from the beginning. */
export function togglePlayMaps(): void {
  if (playingMaps.value) {
    stopMaps();
    return;
  }
  const steps = probe.value?.steps ?? [];
  if (steps.length < 2) return;
  stopPlaying();
  if (probeStep.value === steps.at(-1)) selectProbeStep(steps[0]!);
  playingMaps.value = true;
  timer = setInterval(tick, TICK);
}

export function stopMaps(): void {
  playingMaps.value = false;
  clearInterval(timer);
}

/** Move by a number of the probe's steps. */
export function moveProbeStep(count: number): void {
  const steps = probe.value?.steps ?? [];
  if (probeStep.value === null || steps.length === 0) return;
  const index = steps.indexOf(probeStep.value) + count;
  selectProbeStep(steps[Math.min(steps.length - 1, Math.max(0, index))]!);
}

/** The shown side at the steps that come next, then at the one before. */
export function sidesAhead(): Side[] {
  const own = side.value;
  const steps = probe.value?.steps ?? [];
  if (own === null) return [];
  const at = steps.indexOf(own.step);
  const count = playingMaps.value ? AHEAD.playing : AHEAD.resting;
  const next = steps.slice(at + 1, at + 1 + count);
  const before = playingMaps.value ? [] : steps.slice(Math.max(0, at - 1), at);
  return [...next, ...before].map((step) => ({ ...own, step }));
}

function tick(): void {
  const steps = probe.peek()?.steps ?? [];
  const own = side.peek();
  const next = own === null ? undefined : steps[steps.indexOf(own.step) + 1];
  if (own === null || next === undefined) {
    stopMaps();
    return;
  }
  const now = sides.peek().flatMap((one) => pageQueries(one, inView.peek()));
  const coming = pageQueries({ ...own, step: next }, inView.peek());
  const settled = [...now, ...coming].every((query) => pages.get(query) ?? pages.failure(query));
  if (settled) selectProbeStep(next);
}
