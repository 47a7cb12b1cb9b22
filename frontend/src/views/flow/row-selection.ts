/** The selected row, where rows are layers or parameters. */
import { type ReadonlySignal, useComputed } from '@preact/signals';
import type { LayerLabel, Selection } from '../../charts/types';
import { selectLayer, selectParameter, selectStep } from '../../state/actions';
import { filter, layerIndex, recordedStep, selectedParameter } from '../../state/derived';
import * as selection from '../../state/selection';

export interface RowSelection {
  readonly selection: ReadonlySignal<Selection>;
  /** Rows that pass the filter. */
  readonly shown: ReadonlySignal<readonly number[]>;
  readonly onSelect: (change: Partial<Selection>) => void;
}

export function useRowSelection(labels: ReadonlySignal<readonly LayerLabel[]>): RowSelection {
  const selected = useComputed<Selection>(() => ({
    row: selection.rows.value === 'layers' ? layerIndex.value : selectedParameter.value,
    step: recordedStep.value,
  }));
  const shown = useComputed(() =>
    labels.value.flatMap(({ name }, row) => (filter.value.test(name) ? [row] : [])),
  );
  const onSelect = ({ row, step }: Partial<Selection>) => {
    if (row !== undefined && row !== null)
      (selection.rows.value === 'layers' ? selectLayer : selectParameter)(row);
    if (step !== undefined && step !== null) selectStep(step);
  };
  return { selection: selected, shown, onSelect };
}
