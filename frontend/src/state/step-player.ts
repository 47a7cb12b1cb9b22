/** The steps at which something was recorded that not every step has: going to one of them, and playing them all. */
import { type ReadonlySignal, signal } from '@preact/signals';
import { selectStep } from './actions';
import { stopPlaying } from './play';
import * as selection from './selection';

/** Steps that are fetched beforehand, when playing and when not. */
const AHEAD = { playing: 4, resting: 1 };

export interface Stepped {
  /** The steps, ascending. */
  readonly steps: ReadonlySignal<readonly number[]>;
  /** The one that is shown; null where there is none. */
  readonly step: ReadonlySignal<number | null>;
  /** How long each of so many steps is shown at least while playing, in milliseconds. */
  readonly pace: (steps: number) => number;
  /** Whether all is there of the step that is shown, and of the one that comes next. */
  readonly isReady: (next: number) => boolean;
}

export class StepPlayer {
  readonly steps: Stepped['steps'];
  readonly step: Stepped['step'];
  readonly #pace: Stepped['pace'];
  readonly #isReady: Stepped['isReady'];
  readonly #playing = signal(false);
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor({ steps, step, pace, isReady }: Stepped) {
    this.steps = steps;
    this.step = step;
    this.#pace = pace;
    this.#isReady = isReady;
  }

  get playing(): ReadonlySignal<boolean> {
    return this.#playing;
  }

  /** Start or stop; at the end it starts from the beginning. */
  toggle(): void {
    if (this.#playing.value) {
      this.stop();
      return;
    }
    const steps = this.steps.value;
    if (steps.length < 2) return;
    stopPlaying();
    if (this.step.value === steps.at(-1)) this.#show(steps[0]!);
    this.#playing.value = true;
    this.#wait();
  }

  stop(): void {
    this.#playing.value = false;
    clearTimeout(this.#timer);
  }

  /** Stop, and show one of the steps. */
  select(to: number): void {
    this.stop();
    this.#show(to);
  }

  /** Stop, and move by a number of steps. */
  move(count: number): void {
    this.stop();
    const steps = this.steps.value;
    if (this.step.value === null || steps.length === 0) return;
    const to = steps.indexOf(this.step.value) + count;
    this.#show(steps[Math.min(steps.length - 1, Math.max(0, to))]!);
  }

  /** What is shown at the steps that come next, then at the one before. */
  ahead<Shown extends { readonly step: number }>(shown: Shown | null): Shown[] {
    if (shown === null) return [];
    const steps = this.steps.value;
    const at = steps.indexOf(shown.step);
    const count = this.#playing.value ? AHEAD.playing : AHEAD.resting;
    const next = steps.slice(at + 1, at + 1 + count);
    const before = this.#playing.value ? [] : steps.slice(Math.max(0, at - 1), at);
    return [...next, ...before].map((step) => ({ ...shown, step }));
  }

  #show(to: number): void {
    selectStep(to);
    // The newest record of the run may lie before the newest of these.
    if (this.step.value !== to) selection.step.value = to;
  }

  #wait(): void {
    this.#timer = setTimeout(() => this.#tick(), this.#pace(this.steps.peek().length));
  }

  #tick(): void {
    const steps = this.steps.peek();
    const at = this.step.peek();
    const next = at === null ? undefined : steps[steps.indexOf(at) + 1];
    if (next === undefined) {
      this.stop();
      return;
    }
    if (this.#isReady(next)) this.#show(next);
    this.#wait();
  }
}
