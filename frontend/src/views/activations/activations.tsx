/** What the layers put out: one part of it at a time. */
import { useComputed } from '@preact/signals';
import type { Run } from '../../data/types';
import * as selection from '../../state/selection';
import { run } from '../../state/store';
import { Choice } from '../choice';
import { SECTIONS } from './sections';

export const hasActivations = (run: Run) => SECTIONS.some(({ hasData }) => hasData(run));

export function Activations() {
  const shown = useComputed(() => {
    const known = run.value.value;
    return known === null ? [] : SECTIONS.filter(({ hasData }) => hasData(known));
  }).value;
  const current = shown.find(({ id }) => id === selection.section.value) ?? shown[0];
  const Part = current?.component;
  return (
    <div class="activations">
      <h2 class="visually-hidden">Activations</h2>
      {shown.length > 1 && (
        <div class="sections">
          <Choice
            label="Part"
            options={shown}
            chosen={current?.id ?? ''}
            onChoose={(id) => {
              selection.section.value = id;
            }}
          />
        </div>
      )}
      {Part && <Part />}
    </div>
  );
}
