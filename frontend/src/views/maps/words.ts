/** What kinds of maps are, in words. */
import { formatCount, formatShare } from '../../charts/numbers';
import type { MapSource, Probe } from '../../data/maps';
import type { ScaleInUse } from '../../state/maps-scale';
import { formatBytes, nameOr, plural } from '../words';

export interface KindWords {
  /** Of one map, of several, and of what is kept of a module. */
  readonly noun: string;
  readonly label: string;
  /** What the rows and columns of a map are. */
  readonly row: string;
  readonly column: string;
  readonly definition: string;
  readonly reading: string;
}

const KINDS: Readonly<Record<string, KindWords>> = {
  feature_map: {
    noun: 'channel',
    label: 'Feature maps',
    row: 'row',
    column: 'column',
    definition: 'What each channel of the module returns for the input, place by place.',
    reading:
      'Early channels follow edges and colours, later ones parts of things. A channel that is constant for every input carries nothing; channels that look alike are redundant.',
  },
  attention: {
    noun: 'head',
    label: 'Attention',
    row: 'query',
    column: 'key',
    definition:
      'How much each place of the sequence (a row) attends to every other (a column). A row adds up to one.',
    reading:
      'A diagonal attends to itself or to a neighbour, a column to one token from everywhere. An even picture has not learnt to choose yet.',
  },
  hidden: {
    noun: 'map',
    label: 'Hidden states',
    row: 'unit',
    column: 'time',
    definition: 'The hidden state of the recurrent module: a row for each unit, a column for each moment.',
    reading:
      'Rows that change with the sequence remember something of it. Rows stuck at −1 or 1 are saturated.',
  },
  saliency: {
    noun: 'map',
    label: 'Saliency',
    row: 'row',
    column: 'column',
    definition: 'How strongly the score of the class changes with each place of the input: |gradient|.',
    reading:
      'Bright places are those that the decision hangs on most at this very point. It is noisy by nature; compare it over steps and inputs.',
  },
  grad_cam: {
    noun: 'map',
    label: 'Grad-CAM',
    row: 'row',
    column: 'column',
    definition:
      'The feature maps of the module, weighted by how much each raises the score of the class, and added up.',
    reading:
      'Bright regions speak for the class. Where they lie beside the object, the network has learnt something else.',
  },
};

export function kindWords(kind: string): KindWords {
  return KINDS[kind] ?? { ...KINDS.feature_map!, noun: 'map', label: kind, definition: '', reading: '' };
}

/** "64 channels of 16 × 16" */
export function sourceWords({ kind, maps, height, width }: MapSource): string {
  return `${plural(maps, kindWords(kind).noun)} of ${formatCount(height)} × ${formatCount(width)}`;
}

export function sourceName({ module }: Pick<MapSource, 'module'>): string {
  return module === '' ? '(whole model)' : nameOr(module);
}

export function sampleName(probe: Probe, index: number): string {
  const label = probe.labels[index];
  return label === undefined || label.trim() === '' ? `Input ${index}` : label;
}

/** "the same for all 64 channels at this step" */
export function scaleWords(scale: ScaleInUse, source: MapSource, steps: number): string {
  const { noun } = kindWords(source.kind);
  if (scale.mode === 'map')
    return scale.over.sides > 1
      ? `each ${noun} over its range on both sides`
      : `each ${noun} over its own range`;
  const { maps, steps: loaded } = scale.over;
  if (scale.mode === 'steps')
    return `the same at the ${plural(loaded, 'step')} loaded, of ${formatCount(steps)}`;
  return maps < source.maps
    ? `the same for ${formatCount(maps)} of ${plural(source.maps, noun)} loaded at this step`
    : `the same for all ${plural(source.maps, noun)} at this step`;
}

export function budgetWords({ bytes, budget }: Pick<Probe, 'bytes' | 'budget'>): string {
  if (budget <= 0) return `${formatBytes(bytes)} of maps`;
  return `${formatBytes(bytes)} of the budget of ${formatBytes(budget)} (${formatShare(bytes / budget)})`;
}

/** "3rd of 64" */
export function rankWords(strength: Float32Array, index: number): string {
  const own = strength[index]!;
  if (!Number.isFinite(own)) return 'not finite';
  const stronger = strength.reduce((count, one) => count + (one > own ? 1 : 0), 0);
  return `${ordinal(stronger + 1)} of ${formatCount(strength.length)}`;
}

function ordinal(count: number): string {
  const last = count % 100;
  const ending = last > 10 && last < 14 ? 'th' : (['th', 'st', 'nd', 'rd'][count % 10] ?? 'th');
  return `${formatCount(count)}${ending}`;
}
