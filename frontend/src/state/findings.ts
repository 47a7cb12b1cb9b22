/** The findings of the selected run, which of them is selected, and the thresholds that they stand on. */
import { computed, type ReadonlySignal } from '@preact/signals';
import { type Consequence, type Finding, findingsAddress, getFindings, type Report } from '../data/findings';
import { layerIndex, step } from './derived';
import * as selection from './selection';
import { aboutRun, follow } from './store';
import { formatMoved, type Moved, parseMoved } from './thresholds';

/** The thresholds that the reader moved. */
export const moved = computed<Moved>(() => parseMoved(selection.thresholds.value));

export function moveThresholds(to: Moved): void {
  selection.thresholds.value = formatMoved(to);
}

export const findings = follow(() => {
  const thresholds = formatMoved(moved.value);
  return aboutRun(
    (name) => findingsAddress(name, thresholds),
    (name, signal) => getFindings(name, thresholds, signal),
  );
}).state;

/** The last report of the run: while thresholds move, the verdict before stays until the next one comes. */
export const report: ReadonlySignal<Report | null> = keepLast();

function keepLast(): ReadonlySignal<Report | null> {
  let held: Report | null = null;
  return computed(() => {
    held = findings.value.value ?? held;
    return held?.run === selection.run.value ? held : null;
  });
}

/** The worst first; what follows from another one stands in it. */
export const findingList = computed<readonly Finding[]>(() => report.value?.findings ?? []);

/** All of them, each followed by its consequences. */
export const everyFinding = computed<readonly Consequence[]>(() =>
  findingList.value.flatMap((finding) => [finding, ...finding.consequences]),
);

/** The finding that the reader chose; without one, that which begins at the selected layer and step. */
export const selectedFinding = computed<Consequence | null>(
  () =>
    everyFinding.value.find(({ id }) => id === selection.finding.value) ??
    everyFinding.value.find(
      ({ layers, first_step }) => layers[0] === layerIndex.value && first_step === step.value,
    ) ??
    null,
);

/** Whether the selected layer is one that the finding is about. */
export function isAbout({ layers }: Pick<Consequence, 'layers'>, layer: number | null): boolean {
  return layers.length === 0 || (layer !== null && layers.includes(layer));
}
