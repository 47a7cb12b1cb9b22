/** Keys on a chart that has the focus. */

import type { Signal } from '@preact/signals';
import { type Columns, nearestRecord } from './columns';
import type { Hover, OnSelect, Selection, StepDomain } from './types';

const FAR = 10;

/** Step of the record that lies `by` records from the selected step. */
export function recordedStep(columns: Columns, step: number | null, by: number): number | null {
  if (!columns.length) return null;
  const last = columns.length - 1;
  const from = step === null ? (by > 0 ? -1 : last + 1) : nearestRecord(columns, step);
  return columns.last[Math.min(last, Math.max(0, from + by))]!;
}

export interface StepKeys {
  readonly columns: Columns;
  readonly selection: Selection;
  readonly steps: StepDomain;
  readonly hover: Signal<Hover | null>;
  readonly onSelect: OnSelect;
  /** The row that lies `by` visible rows from the selected one; null where the chart has no rows. */
  rowBy(by: number): number | null;
}

/** Arrows move the selection, Home and End to the ends, Escape clears the hover and then the zoom. */
export function onStepKey(event: KeyboardEvent, keys: StepKeys): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const moves: Record<string, () => boolean> = {
    ArrowLeft: () => moveStep(keys, event.shiftKey ? -FAR : -1),
    ArrowRight: () => moveStep(keys, event.shiftKey ? FAR : 1),
    ArrowUp: () => moveRow(keys, event.shiftKey ? -FAR : -1),
    ArrowDown: () => moveRow(keys, event.shiftKey ? FAR : 1),
    Home: () => moveStep(keys, Number.NEGATIVE_INFINITY),
    End: () => moveStep(keys, Number.POSITIVE_INFINITY),
    Escape: () => clear(keys),
  };
  if (moves[event.key]?.()) {
    event.preventDefault();
    event.stopPropagation();
  }
}

function moveStep({ columns, selection, onSelect }: StepKeys, by: number): boolean {
  const step = recordedStep(columns, selection.step, by);
  if (step !== null) onSelect({ step });
  return step !== null;
}

function moveRow({ rowBy, onSelect }: StepKeys, by: number): boolean {
  const row = rowBy(by);
  if (row !== null) onSelect({ row });
  return row !== null;
}

function clear({ hover, steps }: StepKeys): boolean {
  const held = hover.peek() ?? steps.zoom.peek();
  if (hover.peek()) hover.value = null;
  else steps.zoom.value = null;
  return held !== null;
}
