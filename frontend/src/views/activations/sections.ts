/** The parts of the Activations view, in the order of their tabs. To add one: write its module and add a line here. */
import type { ComponentType } from 'preact';
import type { Run } from '../../data/types';
import { recordedStatistics } from '../../state/derived';
import { Maps } from '../maps/maps';
import { Statistics } from './statistics';

export interface Section {
  /** Name in the address. */
  readonly id: string;
  readonly label: string;
  /** Whether the run has what the part shows; a part without data does not appear. */
  readonly hasData: (run: Run) => boolean;
  readonly component: ComponentType;
}

export const SECTIONS: readonly Section[] = [
  {
    id: 'statistics',
    label: 'Statistics',
    hasData: ({ activations }) => activations.length > 0 && recordedStatistics('activations').length > 0,
    component: Statistics,
  },
  { id: 'maps', label: 'Maps', hasData: ({ layers }) => layers.length > 0, component: Maps },
];
