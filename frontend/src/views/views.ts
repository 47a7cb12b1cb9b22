/** The views, in the order of their tabs. To add one: write its module and add a line here. */
import type { ComponentType } from 'preact';
import type { Run } from '../data/types';
import { recordedStatistics } from '../state/derived';
import { Activations, hasActivations } from './activations/activations';
import { Embeddings } from './embeddings/embeddings';
import { GradientFlow } from './flow/gradient-flow';
import { Overview } from './overview/overview';
import { DeadUnits } from './units/dead-units';

export interface View {
  /** Name in the address. */
  readonly id: string;
  readonly label: string;
  /** Whether the run has what the view shows; a tab without data does not appear. */
  readonly hasData: (run: Run) => boolean;
  readonly component: ComponentType;
  /** What to do about a run that has none of it, in a sentence. */
  readonly remedy: string;
}

/** How outputs and their units are recorded. */
const ACTIVATIONS =
  'They come with writer.watch(model, optimizer), unless activations=False; the writer says what it can’t see.';

const recordedGradients = () => recordedStatistics('parameters').length > 0;

export const VIEWS: readonly View[] = [
  { id: 'overview', label: 'Overview', hasData: () => true, component: Overview, remedy: '' },
  {
    id: 'flow',
    label: 'Gradient flow',
    hasData: recordedGradients,
    component: GradientFlow,
    remedy: 'No gradient was recorded in this run: call writer.watch(model, optimizer) before training.',
  },
  {
    id: 'units',
    label: 'Dead units',
    hasData: ({ has_units }) => has_units,
    component: DeadUnits,
    remedy: `Nothing was recorded of single units in this run. ${ACTIVATIONS}`,
  },
  {
    id: 'activations',
    label: 'Activations',
    hasData: hasActivations,
    component: Activations,
    remedy: `Nothing was recorded of what its layers put out in this run. ${ACTIVATIONS}`,
  },
  { id: 'embeddings', label: 'Embeddings', hasData: () => true, component: Embeddings, remedy: '' },
];
