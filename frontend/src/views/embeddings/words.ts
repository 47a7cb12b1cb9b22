/** Embeddings in words: what a layout is, and how far a picture can be trusted. */
import { formatShare, formatValue } from '../../charts/numbers';
import type { Embedding, Layout, StepTable } from '../../data/embeddings';
import type { ColourBy } from '../../state/embeddings-groups';
import { numberAt } from '../../state/embeddings-tables';
import { nameOr, plural } from '../words';

interface MethodWords {
  readonly label: string;
  readonly definition: string;
  /** What the picture does not say. */
  readonly caution: string;
}

const METHODS: Readonly<Record<string, MethodWords>> = {
  tsne: {
    label: 't-SNE',
    definition:
      'Points whose vectors are near each other are put near each other. Each step starts from the positions of the one before, so that what moves has changed.',
    caution:
      'How large a cluster is and how far two of them are apart means nothing; that points lie together does.',
  },
  umap: {
    label: 'UMAP',
    definition: 'A graph of nearest neighbours, drawn so that neighbours stay together.',
    caution: 'Distances between clusters mean little; that points lie together does.',
  },
  pca: {
    label: 'PCA',
    definition: 'The vectors seen from the side from which they vary most: a shadow, without any distortion.',
    caution: 'Points that lie together may be far apart in the directions that are not drawn.',
  },
};

export function methodWords(method: string): MethodWords {
  return METHODS[method] ?? { label: nameOr(method), definition: '', caution: '' };
}

/** "t-SNE, 2-D", "t-SNE, 3-D, offline" */
export function layoutWords({ method, dims, origin }: Omit<Layout, 'steps'>): string {
  return `${methodWords(method).label}, ${dims}-D${origin === 'live' ? '' : `, ${origin}`}`;
}

export const COLOUR_WORDS: Readonly<Record<ColourBy, string>> = {
  class: 'Class',
  prediction: 'Prediction',
  correctness: 'Correctness',
  number: 'Number',
  none: 'None',
};

/** "fc2 · 1,797 points" */
export function embeddingHint({ module, sets }: Embedding): string {
  const points = plural(sets.at(-1)?.points ?? 0, 'point');
  return module === '' ? points : `${module} · ${points}`;
}

export type Trust = 'good' | 'fair' | 'poor' | 'unknown';

/** From where on neighbourhoods in a picture are called so. */
const GOOD = 0.95;
const FAIR = 0.85;

export function trustOf(trustworthiness: number): Trust {
  if (!Number.isFinite(trustworthiness)) return 'unknown';
  if (trustworthiness >= GOOD) return 'good';
  return trustworthiness >= FAIR ? 'fair' : 'poor';
}

export const TRUST_WORDS: Readonly<Record<Trust, string>> = {
  good: 'Points that lie together belong together.',
  fair: 'Most points that lie together belong together, some don’t.',
  poor: 'Points that lie together often don’t belong together: read little into this picture.',
  unknown: 'How far this picture can be trusted was not measured.',
};

/** Movement up to so many times that of noise may be noise. */
const NOISY = 2;

/** How the points moved since the record before, against what noise alone does. */
export function movementWords(drift: number, floor: number): string {
  if (!Number.isFinite(drift)) return 'the first record of these points';
  const moved = `moved ${formatValue(drift)} of the radius`;
  if (!Number.isFinite(floor)) return moved;
  const noise = `noise alone moves ${formatValue(floor)}`;
  return drift <= NOISY * floor
    ? `${moved}, hardly more than noise (${formatValue(floor)})`
    : `${moved}; ${noise}`;
}

/**
 * What else is to be known of a record, a sentence each.
 *
 * @param nowhere Points of it that have no position, of all its `points`.
 */
export function recordNotes(
  table: StepTable | null,
  step: number,
  nowhere: number,
  points: number,
): string[] {
  const notes: string[] = [];
  if (nowhere > 0)
    notes.push(`${plural(nowhere, 'point')} without a finite vector ${areWords(nowhere)} not drawn.`);
  const fitted = numberAt(table, 'fitted', step);
  if (fitted >= 1 && fitted < points - nowhere)
    notes.push(`${plural(fitted, 'point')} were fitted, the others placed among them.`);
  const dropped = numberAt(table, 'dropped', step);
  if (dropped >= 1)
    notes.push(
      `${plural(dropped, 'step')} before this one ${dropped === 1 ? 'was' : 'were'} left out: the worker was busy.`,
    );
  return notes;
}

const areWords = (count: number) => (count === 1 ? 'is' : 'are');

/** "0.97", or what stands for a number that is not known. */
export function figureWords(value: number, digits = 3): string {
  return Number.isFinite(value) ? formatValue(value, digits) : '–';
}

export function shareWords(value: number): string {
  return Number.isFinite(value) ? formatShare(value) : '–';
}

/** Why only PCA is shown; empty where t-SNE has positions too. */
export function pcaOnlyWords({ layouts, omissions }: Embedding): string {
  const others = layouts.filter(({ method }) => method !== 'pca');
  if (layouts.length === 0 || others.some(({ steps }) => steps.length > 0)) return '';
  const reason = omissions.find(({ subject }) => /t-?sne/i.test(subject))?.reason;
  if (reason !== undefined) return `Only PCA is shown, without t-SNE: ${reason.replace(/\.$/, '')}.`;
  return others.length > 0
    ? 'This is PCA; t-SNE takes longer, and comes when it is ready.'
    : 'Only PCA was recorded.';
}
