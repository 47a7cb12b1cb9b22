/** How similar the vectors are to those of other steps, layers and runs. */
import { computed, signal } from '@preact/signals';
import {
  getLayerSimilarity,
  getSimilarity,
  type LayerSimilarity,
  layerSimilarityAddress,
  type Of,
  type Similarity,
  similarityAddress,
} from '../data/embeddings';
import type { Request } from '../data/resource';
import { otherSide, ownCompanions, ownSide, type Side, watchingEmbeddings } from './embeddings';
import { hasOther } from './embeddings-tables';
import { follow, revision, runs } from './store';

/** Between the steps of the embedding, between the layers at the step, or with the steps of what it is compared with. */
export type SimilarityOf = 'steps' | 'layers' | 'other';

const chosen = signal<SimilarityOf>('steps');

export const similarityChoices = computed<readonly SimilarityOf[]>(() => [
  'steps',
  ...(ownCompanions.value.length > 1 ? (['layers'] as const) : []),
  ...(hasOther.value ? (['other'] as const) : []),
]);

/** What is shown of those that there are. */
export const similarityOf = computed<SimilarityOf>(() =>
  similarityChoices.value.includes(chosen.value) ? chosen.value : 'steps',
);

export function chooseSimilarity(of: SimilarityOf): void {
  chosen.value = of;
}

/** What similarity follows from is written with the measures. */
const isMeasured = ({ embedding }: Side) => embedding.measures.steps.length > 0;

const ofSide = ({ run, embedding }: Side): Of => ({ run, embedding: embedding.name });

export const similarity = follow<Similarity>(() => {
  const own = ownSide.value;
  const other = similarityOf.value === 'other' ? otherSide.value : own;
  if (own === null || other === null || similarityOf.value === 'layers') return null;
  if (!isMeasured(own) || !isMeasured(other)) return null;
  return aboutOwn(similarityAddress(ofSide(own), ofSide(other)), other.run, (signal) =>
    getSimilarity(ofSide(own), ofSide(other), signal),
  );
}).state;

export const layerSimilarity = follow<LayerSimilarity>(() => {
  const own = ownSide.value;
  if (own === null || similarityOf.value !== 'layers' || !isMeasured(own)) return null;
  return aboutOwn(layerSimilarityAddress(ofSide(own), own.step), own.run, (signal) =>
    getLayerSimilarity(ofSide(own), own.step, signal),
  );
}).state;

function aboutOwn<T>(
  address: string,
  otherRun: string,
  load: (signal: AbortSignal) => Promise<T>,
): Request<T> | null {
  if (!watchingEmbeddings.value || revision.value === null) return null;
  const other = runs.answer.value?.find(({ run }) => run === otherRun)?.revision ?? '';
  return { address, version: `${revision.value} ${other}`, load };
}
