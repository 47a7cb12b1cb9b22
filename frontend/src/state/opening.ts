/** What is selected before the reader selects anything: the run written last, and its worst finding. */
import { effect } from '@preact/signals';
import type { RunSummary } from '../data/types';
import { selectFinding, selectLayer } from './actions';
import { activationIndex, selectActivation } from './activations';
import { layers, steps } from './derived';
import { everyFinding, report } from './findings';
import * as selection from './selection';
import { run, runs } from './store';

/** The run to open on: the one written last among those that can be read. */
export function newestRun(list: readonly RunSummary[]): string | null {
  const readable = list.filter(({ error }) => error === null);
  const candidates = readable.length > 0 ? readable : list;
  const time = (summary: RunSummary) => summary.wall_time ?? Number.NEGATIVE_INFINITY;
  return (
    candidates.reduce<RunSummary | null>(
      (best, one) => (best === null || time(one) > time(best) ? one : best),
      null,
    )?.run ?? null
  );
}

/** What was selected by itself when the run was opened. */
let opening: { readonly layer: string | null; readonly step: number | null } = { layer: null, step: null };

/** Whether neither a link nor the reader has selected a layer or a step. */
export function isUntouched(): boolean {
  const { layer, step, activation, unit } = selection;
  const none = layer.peek() === null && step.peek() === null;
  const same = layer.peek() === opening.layer && step.peek() === opening.step;
  return activation.peek() === null && unit.peek() === null && (none || same);
}

/** Open each run once, as soon as its parts are there; what a link or the reader selected stays. */
export function openRuns(): void {
  effect(() => {
    if (selection.run.value === null && runs.answer.value !== null)
      selection.run.value = newestRun(runs.answer.value);
  });
  let opened: string | null = null;
  effect(() => {
    const name = selection.run.value;
    const ready = run.value.value?.run === name && report.value !== null && steps.value.length > 0;
    if (name === opened || !ready) return;
    opened = name;
    opening = { layer: null, step: null };
    if (selection.layer.peek() !== null || selection.step.peek() !== null) return;
    if (selection.activation.peek() !== null) {
      selectActivation(activationIndex.peek() ?? -1);
      return;
    }
    const every = everyFinding.peek();
    const worst = every.find(({ id }) => id === selection.finding.peek()) ?? every[0];
    if (worst) selectFinding(worst);
    else if (layers.peek().length > 0) selectLayer(layers.peek().length - 1);
    opening = { layer: selection.layer.peek(), step: selection.step.peek() };
  });
}
