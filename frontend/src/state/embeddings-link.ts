/** What goes on while someone looks at embeddings: fetching what is needed, and following what changes. */
import { effect } from '@preact/signals';
import type { Embedding, PointSet } from '../data/embeddings';
import {
  embeddings,
  labelsQueryOf,
  labelsStore,
  ownSide,
  pointsStore,
  queryOf,
  sides,
  watchingEmbeddings,
} from './embeddings';
import { pointed } from './embeddings-marks';
import { embeddingPlayer } from './embeddings-play';
import { thumbnailsStore } from './embeddings-thumbnails';
import { sidesOfTrails } from './embeddings-trails';
import { whenRerecorded } from './rerecorded';
import { retries } from './store';

const STORES = [pointsStore, labelsStore, thumbnailsStore];

/** Begin to look; returns what ends it. */
export function linkEmbeddings(): () => void {
  watchingEmbeddings.value = true;
  const stops = [wantPoints(), wantLabels(), tryAgain(), forgetChanged()];
  return () => {
    embeddingPlayer.stop();
    watchingEmbeddings.value = false;
    pointed.value = null;
    for (const stop of stops) stop();
    for (const store of STORES) store.want([]);
  };
}

function wantPoints(): () => void {
  return effect(() => {
    pointsStore.want(
      [...sides.value, ...embeddingPlayer.ahead(ownSide.value), ...sidesOfTrails.value].map(queryOf),
    );
  });
}

function wantLabels(): () => void {
  return effect(() => {
    void pointsStore.arrivals.value;
    labelsStore.want(sides.value.map(labelsQueryOf).filter((query) => query !== null));
  });
}

/** What failed may be there now: also after the next record, as one may be read before its second half is written. */
function tryAgain(): () => void {
  return effect(() => {
    void retries.value;
    void embeddings.value.value;
    for (const store of STORES) store.retry();
  });
}

/** What was recorded anew is read anew. */
function forgetChanged(): () => void {
  return whenRerecorded(
    () => embeddings.value.value ?? [],
    isChanged,
    () => {
      for (const store of STORES) store.clear();
    },
  );
}

/** Whether something else was recorded in the place of what was known, as after a resume from an earlier step. */
export function isChanged(before: Embedding, list: readonly Embedding[]): boolean {
  const now = list.find(({ name }) => name === before.name);
  if (now === undefined) return list.length > 0;
  const begins = (longer: readonly unknown[], shorter: readonly unknown[]) =>
    shorter.every((one, index) => JSON.stringify(one) === JSON.stringify(longer[index]));
  const layouts = before.layouts.every((layout, index) => {
    const { steps = [], ...rest } = now.layouts[index] ?? {};
    const { steps: known, ...own } = layout;
    return JSON.stringify(own) === JSON.stringify(rest) && begins(steps, known);
  });
  return !layouts || !begins(now.sets.map(pointsOf), before.sets.map(pointsOf));
}

/** What a set's points are; thumbnails may come later. */
const pointsOf = ({ points, labels, classes }: PointSet) => ({ points, labels, classes });
