/** What a reader can do, from keys, buttons and charts alike. */
import { batch } from '@preact/signals';
import type { Domain } from '../charts/types';
import type { Consequence } from '../data/findings';
import { layerIndex, layers, shownLayers, step, steps } from './derived';
import { everyFinding, selectedFinding } from './findings';
import { rowBy } from './layers';
import * as selection from './selection';
import { stepBy, zoomAround } from './steps';
import { run } from './store';

/** Records on each side of an onset, where a run is too long to see it whole. */
const ONSET_RECORDS = 40;

/** Something that begins at a step. */
interface Onset {
  readonly step: number;
}

/** Select a step; the last one stays the newest while the run goes on. */
export function selectStep(to: number): void {
  selection.step.value =
    to >= (steps.value.at(-1) ?? Number.POSITIVE_INFINITY) ? null : Math.max(0, Math.round(to));
  keepInView();
}

export function moveStep(records: number): void {
  if (step.value !== null) selectStep(stepBy(steps.value, step.value, records));
}

export function selectLayer(index: number): void {
  batch(() => {
    selection.layer.value = layers.value[index]?.name ?? null;
    leaveActivation();
  });
}

/** Another layer has other activations and units. */
function leaveActivation(): void {
  selection.activation.value = null;
  selection.unit.value = null;
}

/** Select a parameter and the layer that holds it. */
export function selectParameter(index: number): void {
  const parameter = run.value.value?.parameters[index];
  if (parameter === undefined) return;
  batch(() => {
    selection.parameter.value = parameter.name;
    selectLayer(parameter.layer);
  });
}

export function moveLayer(count: number): void {
  const row = rowBy(shownLayers.value, layerIndex.value, count);
  if (row !== null) selectLayer(row);
}

/** Put the selection on a finding; what is shown of the run stays. */
export function selectFinding({ id, layers: blamed, first_step }: Consequence): void {
  batch(() => {
    selection.finding.value = id;
    selection.layer.value = layers.value[blamed[0] ?? -1]?.name ?? selection.layer.value;
    leaveActivation();
    selection.step.value = first_step ?? selection.step.value;
    keepInView();
  });
}

/** Go to the view that shows a finding, with its layer, step and first unit selected. */
export function showFinding(finding: Consequence): void {
  batch(() => {
    selectFinding(finding);
    selection.view.value = finding.view;
    selection.unit.value = finding.units?.[0] ?? null;
    const shown = finding.evidence[0]?.statistic;
    if (shown !== undefined && isStatistic(shown)) selection.statistic.value = shown;
  });
}

const isStatistic = (id: string) => run.value.value?.statistics.includes(id) ?? false;

/** Show the beginning of something close enough to tell its records apart. */
export function zoomToOnset(of: Onset): void {
  selection.zoom.value = onsetOf(of);
}

/** Where something begins, or null where that is seen without a zoom: it was there from the start, or the run is short. */
export function onsetOf({ step }: Onset): Domain | null {
  return step > (steps.value[0] ?? 0) ? zoomAround(steps.value, step, ONSET_RECORDS) : null;
}

/** The finding before or after the selected one; the worst one where none is selected. */
export function moveFinding(count: number): void {
  const list = everyFinding.value;
  const at = selectedFinding.value === null ? -1 : list.indexOf(selectedFinding.value);
  const to = at < 0 ? 0 : Math.min(list.length - 1, Math.max(0, at + count));
  if (list[to]) selectFinding(list[to]);
}

/** Show another run from its beginning. */
export function selectRun(name: string): void {
  if (name === selection.run.value) return;
  batch(() => {
    selection.run.value = name;
    selection.layer.value = null;
    selection.parameter.value = null;
    leaveActivation();
    selection.step.value = null;
    selection.finding.value = null;
    selection.zoom.value = null;
    selection.hover.value = null;
  });
}

/** What Escape does: the hover goes first, then the zoom. */
export function clearTransient(): void {
  if (selection.hover.value !== null) selection.hover.value = null;
  else selection.zoom.value = null;
}

/** A cursor that leaves the zoomed steps takes the zoom along. */
function keepInView(): void {
  const zoom = selection.zoom.value;
  const at = step.value;
  if (zoom === null || at === null || (at >= zoom[0] && at <= zoom[1])) return;
  const width = zoom[1] - zoom[0];
  const first = Math.max(0, at < zoom[0] ? at - 0.1 * width : at - 0.9 * width);
  selection.zoom.value = [first, first + width];
}
