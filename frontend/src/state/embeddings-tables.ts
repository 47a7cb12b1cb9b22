/** Numbers over the steps: how far each picture can be trusted, and measures of the vectors themselves. */
import { computed } from '@preact/signals';
import {
  type Embedding,
  getStepTable,
  layoutAddress,
  measuresAddress,
  type Of,
  type StepTable,
} from '../data/embeddings';
import { against } from './against';
import { embedding, layout, otherSide, ownCompanions, ownSide, watchingEmbeddings } from './embeddings';
import { matchingLayout } from './embeddings-choice';
import * as selection from './selection';
import { follow, revision, runs } from './store';

/** Embeddings whose numbers are drawn beside each other. */
const MOST = 8;

/** What there is of one embedding over the steps; null where it can't be had. */
export interface Track {
  readonly run: string;
  readonly embedding: string;
  /** What the chosen layout, or the one that goes with it, knows of itself. */
  readonly layout: StepTable | null;
  readonly measures: StepTable | null;
}

interface Wanted extends Of {
  readonly layout: number;
  readonly hasMeasures: boolean;
}

/** The chosen embedding first, then the others of the run with the same points, then that of the other run. */
const wanted = computed<readonly Wanted[]>(() => {
  const [own, run, plan] = [embedding.value, selection.run.value, layout.value];
  if (own === null || run === null || plan === null) return [];
  const others = ownCompanions.value.filter(({ name }) => name !== own.name);
  const list = [own, ...others].slice(0, MOST).map((one) => wantedOf(run, one, plan));
  const theirs = otherSide.value;
  return theirs === null || theirs.run === run
    ? list
    : [...list, wantedOf(theirs.run, theirs.embedding, plan)];
});

function wantedOf(run: string, one: Embedding, plan: Parameters<typeof matchingLayout>[1]): Wanted {
  return {
    run,
    embedding: one.name,
    layout: matchingLayout(one.layouts, plan),
    hasMeasures: one.measures.steps.length > 0,
  };
}

const revisionOf = (run: string) => runs.answer.value?.find((one) => one.run === run)?.revision ?? '';

export const tracks = follow<readonly Track[]>(() => {
  const list = wanted.value;
  if (!watchingEmbeddings.value || list.length === 0 || revision.value === null) return null;
  return {
    address: JSON.stringify(list),
    version: [...new Set(list.map(({ run }) => revisionOf(run)))].join(),
    load: (signal) => Promise.all(list.map((one, index) => loadTrack(one, index === 0, signal))),
  };
}).state;

/** What can't be had of the others is left out, so that the chosen one is still drawn. */
async function loadTrack(one: Wanted, isOwn: boolean, signal: AbortSignal): Promise<Track> {
  const forgiven = (table: Promise<StepTable>) => (isOwn ? table : table.catch(() => null));
  const [layout, measures] = await Promise.all([
    one.layout < 0 ? null : forgiven(getStepTable(layoutAddress(one, one.layout), signal)),
    one.hasMeasures ? forgiven(getStepTable(measuresAddress(one), signal)) : null,
  ]);
  return { run: one.run, embedding: one.embedding, layout, measures };
}

/** The track of an embedding, once it is there. */
export function trackOf({ run, embedding }: Of): Track | null {
  return tracks.value.value?.find((one) => one.run === run && one.embedding === embedding) ?? null;
}

/** A column at a step; NaN where it is not known. */
export function numberAt(table: StepTable | null, column: string, step: number): number {
  const [row, place] = [table?.steps.indexOf(step) ?? -1, table?.columns.indexOf(column) ?? -1];
  return row < 0 || place < 0 ? Number.NaN : table!.values[row * table!.columns.length + place]!;
}

/** A whole column; null where there is none. */
export function columnOf(table: StepTable | null, column: string): Float32Array | null {
  const place = table?.columns.indexOf(column) ?? -1;
  if (table === null || place < 0) return null;
  return Float32Array.from(table.steps, (_, row) => table.values[row * table.columns.length + place]!);
}

/** Whether the other side's vectors can differ from those of the own side: another layer or another run. */
export const hasOther = computed(
  () => ownSide.value !== null && otherSide.value !== null && against.value?.kind !== 'step',
);
