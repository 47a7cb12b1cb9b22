import { computed, signal } from '@preact/signals';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import * as selection from './selection';
import { StepPlayer } from './step-player';
import { stepAtOrBefore } from './steps';

const PACE = 100;

/** A player of steps of which the test says what is ready. */
function setUp(list = [0, 10, 20, 30], at: number | null = null) {
  selection.step.value = at;
  const steps = signal<readonly number[]>(list);
  const step = computed(() => stepAtOrBefore(steps.value, selection.step.value));
  const ready = new Set(list);
  const player = new StepPlayer({ steps, step, pace: () => PACE, isReady: (next) => ready.has(next) });
  return { player, ready, step };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  selection.step.value = null;
});

describe('playing', () => {
  it('starts from the beginning at the end, and ends there', () => {
    const { player, step } = setUp();
    player.toggle();
    expect([step.value, player.playing.value]).toEqual([0, true]);
    vi.advanceTimersByTime(PACE);
    expect(step.value).toBe(10);
    vi.advanceTimersByTime(10 * PACE);
    expect([step.value, player.playing.value]).toEqual([30, false]);
  });

  it('goes on from where it is, and stays where it is stopped', () => {
    const { player, step } = setUp(undefined, 10);
    player.toggle();
    vi.advanceTimersByTime(PACE);
    player.toggle();
    vi.advanceTimersByTime(10 * PACE);
    expect([step.value, player.playing.value]).toEqual([20, false]);
  });

  it('waits for what is not there yet', () => {
    const { player, ready, step } = setUp(undefined, 0);
    ready.delete(20);
    player.toggle();
    vi.advanceTimersByTime(10 * PACE);
    expect([step.value, player.playing.value]).toEqual([10, true]);
    ready.add(20);
    vi.advanceTimersByTime(PACE);
    expect(step.value).toBe(20);
    player.stop();
  });

  it('is nothing where there is one step', () => {
    const { player } = setUp([5]);
    player.toggle();
    expect(player.playing.value).toBe(false);
  });
});

describe('going to a step', () => {
  it('moves by records, no further than there are any, and stops', () => {
    const { player, step } = setUp(undefined, 10);
    player.toggle();
    player.move(1);
    expect([step.value, player.playing.value]).toEqual([20, false]);
    player.move(Number.POSITIVE_INFINITY);
    expect(step.value).toBe(30);
    player.move(-100);
    expect(step.value).toBe(0);
  });

  it('shows the step that is chosen, and stops', () => {
    const { player, step } = setUp();
    player.toggle();
    player.select(20);
    vi.advanceTimersByTime(10 * PACE);
    expect([step.value, player.playing.value]).toEqual([20, false]);
  });
});

describe('what comes', () => {
  it('is the next step and the one before, and while playing some more of the next', () => {
    const { player } = setUp([0, 10, 20, 30, 40, 50], 10);
    const ahead = () => player.ahead({ step: 10, run: 'r' }).map(({ step }) => step);
    expect(ahead()).toEqual([20, 0]);
    player.toggle();
    expect(ahead()).toEqual([20, 30, 40, 50]);
    player.stop();
    expect(player.ahead({ step: 0, run: 'r' })).toEqual([{ step: 10, run: 'r' }]);
    expect(player.ahead(null)).toEqual([]);
  });
});
