/** Which embedding is looked at, at which step, and what it is compared with. */
import { computed, signal } from '@preact/signals';
import {
  type Embedding,
  embeddingsAddress,
  getEmbeddings,
  getLabels,
  getPoints,
  type Layout,
  labelsAddress,
  type Of,
  type PointSet,
  type Points,
  type PointsQuery,
  pointsAddress,
} from '../data/embeddings';
import { DataError } from '../data/errors';
import { aboutCompared, against } from './against';
import {
  chosenEmbedding,
  chosenLayout,
  companions,
  haveSamePoints,
  matchingLayout,
} from './embeddings-choice';
import { PageStore } from './page-store';
import * as selection from './selection';
import { stepAtOrBefore } from './steps';
import { aboutRun, follow } from './store';

/** Whether someone looks at embeddings: nothing is asked for before. */
export const watchingEmbeddings = signal(false);

export const pointsStore = new PageStore<PointsQuery, Points>({
  address: pointsAddress,
  load: getPoints,
  bytes: 256 * 2 ** 20,
});

export interface LabelsQuery extends Of {
  readonly set: number;
}

export const labelsStore = new PageStore<LabelsQuery, Float32Array>({
  address: (query) => labelsAddress(query, query.set),
  load: (query, signal) => getLabels(query, query.set, signal),
  bytes: 64 * 2 ** 20,
});

export const embeddings = follow(() =>
  watchingEmbeddings.value ? aboutRun(embeddingsAddress, getEmbeddings) : null,
).state;

export const embedding = computed<Embedding | null>(() =>
  chosenEmbedding(embeddings.value.value ?? [], selection.embedding.value),
);

/** The embeddings of the run that have the same points, the chosen one among them. */
export const ownCompanions = computed<readonly Embedding[]>(() =>
  embedding.value === null ? [] : companions(embeddings.value.value ?? [], embedding.value),
);

/** Index of the layout; -1 where there is none. */
export const layoutIndex = computed(() =>
  chosenLayout(embedding.value?.layouts ?? [], selection.layout.value),
);

export const layout = computed<Layout | null>(() => embedding.value?.layouts[layoutIndex.value] ?? null);

/** Steps of the layout. */
export const embeddingSteps = computed<readonly number[]>(() => layout.value?.steps ?? []);

/** The step that is shown: the selected one, or the last one before it. */
export const embeddingStep = computed<number | null>(() =>
  stepAtOrBefore(embeddingSteps.value, selection.step.value),
);

/** One picture: an embedding by one of its layouts at a step. */
export interface Side {
  readonly run: string;
  readonly embedding: Embedding;
  /** Index into its layouts. */
  readonly layout: number;
  readonly step: number;
}

export const ownSide = computed<Side | null>(() => {
  const [run, own, step] = [selection.run.value, embedding.value, embeddingStep.value];
  return run === null || own === null || step === null
    ? null
    : { run, embedding: own, layout: layoutIndex.value, step };
});

/** The embeddings of the run that this one is compared with. */
export const otherEmbeddings = follow(() =>
  watchingEmbeddings.value ? aboutCompared(embeddingsAddress, getEmbeddings) : null,
).state;

/** The embedding on the other side; null where there is none. */
export const otherEmbedding = computed<Embedding | null>(() => {
  const [own, other] = [embedding.value, against.value];
  if (own === null || other === null) return null;
  if (other.kind === 'step') return own;
  const list = (other.kind === 'run' ? otherEmbeddings : embeddings).value.value ?? [];
  const name = other.kind === 'run' ? own.name : other.embedding;
  const named = list.find((one) => one.name === name);
  if (named !== undefined || other.kind === 'embedding') return named ?? null;
  // A run may call it otherwise: what has the same points in the same module is meant.
  return list.find((one) => haveSamePoints(one, own) && one.module === own.module) ?? null;
});

export const otherSide = computed<Side | null>(() => {
  const [own, other, theirs] = [ownSide.value, against.value, otherEmbedding.value];
  if (own === null || other === null || theirs === null) return null;
  const index = matchingLayout(theirs.layouts, own.embedding.layouts[own.layout]!);
  const steps = theirs.layouts[index]?.steps ?? [];
  const step = stepAtOrBefore(steps, other.kind === 'step' ? other.step : own.step);
  const run = other.kind === 'run' ? other.run : own.run;
  return step === null ? null : { run, embedding: theirs, layout: index, step };
});

export const sides = computed<readonly Side[]>(() =>
  [ownSide.value, otherSide.value].filter((one) => one !== null),
);

/** One picture with its points, and their labels where they are there. */
export interface Scene {
  /** 0 for the own side, 1 for the other one. */
  readonly slot: number;
  readonly side: Side;
  readonly points: Points;
  readonly set: PointSet;
  readonly labels: Float32Array | null;
}

export function queryOf({ run, embedding, layout, step }: Side): PointsQuery {
  return { run, embedding: embedding.name, layout, step };
}

/** The labels that a side needs; null where its points have none, or are not there yet. */
export function labelsQueryOf(side: Side): LabelsQuery | null {
  const set = pointsStore.get(queryOf(side))?.set;
  const tells = set !== undefined && side.embedding.sets[set]?.labels !== 'none';
  return tells ? { run: side.run, embedding: side.embedding.name, set } : null;
}

/** What a side shows once it is there; null before. */
function sceneOf(side: Side, slot: number): Scene | null {
  const points = pointsStore.get(queryOf(side));
  const set = side.embedding.sets[points?.set ?? -1];
  if (points === undefined || set === undefined) return null;
  const query = labelsQueryOf(side);
  if (query !== null && !labelsStore.isSettled(query)) return null;
  const labels = query === null ? undefined : labelsStore.get(query);
  return { slot, side, points, set, labels: usable(labels, points) };
}

/** Labels of other points are none of these. */
function usable(labels: Float32Array | undefined, { count }: Points): Float32Array | null {
  return labels !== undefined && labels.length === count ? labels : null;
}

let drawn: readonly Scene[] = [];

/** The pictures that are drawn: the last ones stay until all of the next are there. */
export const scenes = computed<readonly Scene[]>(() => {
  void pointsStore.arrivals.value;
  void labelsStore.arrivals.value;
  const next = sides.value.map(sceneOf);
  const isThere = next.every((scene, index) => scene !== null || troubleOf(sides.value[index]!) !== null);
  if (isThere) drawn = keepSame(next.filter((scene) => scene !== null));
  else if (sides.value.length === 0 || drawn[0]?.side.run !== sides.value[0]!.run) drawn = [];
  return drawn;
});

export function sceneIn(slot: number): Scene | null {
  return scenes.value.find((scene) => scene.slot === slot) ?? null;
}

/** The scenes before, where they are the same: what follows from them is then found again. */
function keepSame(next: readonly Scene[]): readonly Scene[] {
  const merged = next.map((scene, index) => (isSame(drawn[index], scene) ? drawn[index]! : scene));
  const nothingNew = merged.length === drawn.length && merged.every((scene, index) => scene === drawn[index]);
  return nothingNew ? drawn : merged;
}

function isSame(before: Scene | undefined, { side, points, labels }: Scene): boolean {
  const address = before && pointsAddress(queryOf(before.side));
  return (
    before !== undefined &&
    address === pointsAddress(queryOf(side)) &&
    before.points === points &&
    before.labels === labels
  );
}

const NO_SET = new DataError('malformed', 'These points belong to a set that is not described.');

/** Why a side's points can't be had; null where they can. */
export function troubleOf(side: Side): DataError | null {
  const points = pointsStore.get(queryOf(side));
  const isUndescribed = points !== undefined && side.embedding.sets[points.set] === undefined;
  return pointsStore.failure(queryOf(side)) ?? (isUndescribed ? NO_SET : null);
}

/** Whether the two pictures show the same points, so that a selection in one is one in the other. */
export const areLinked = computed(() => {
  const [own, other] = [sceneIn(0), sceneIn(1)];
  if (own === null || other === null) return true;
  const sameCount = own.points.count === other.points.count;
  const sameOne = own.side.run === other.side.run && own.side.embedding.name === other.side.embedding.name;
  if (sameOne) return sameCount && own.points.set === other.points.set;
  return sameCount && haveSamePoints(own.side.embedding, other.side.embedding);
});
