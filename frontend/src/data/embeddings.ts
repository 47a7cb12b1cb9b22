/** Embeddings: points that are followed through the training, where they are at each step, and what is known of them. */
import { address, frame, json } from './client';
import { DataError } from './errors';
import { arrayOf, type Frame } from './frame';
import type { Omission } from './types';

export interface ThumbnailSize {
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** Points that belong together. */
export interface PointSet {
  readonly points: number;
  /** "none", "classes" or "numbers"; a newer writer may know more. */
  readonly labels: string;
  /** Names of the classes, where the labels are classes. */
  readonly classes: readonly string[];
  readonly thumbnails: ThumbnailSize | null;
}

/** Positions of the points by one method. */
export interface Layout {
  /** "tsne", "pca" or "umap"; a newer writer may know more. */
  readonly method: string;
  readonly dims: number;
  /** "live" or "offline". */
  readonly origin: string;
  /** At which there are positions, increasing. */
  readonly steps: readonly number[];
}

export interface Embedding {
  /** Unique in the run. */
  readonly name: string;
  readonly model: string;
  /** Whose output the vectors are; empty where they were given. */
  readonly module: string;
  /** Embeddings with the same have the same points in the same order. */
  readonly inputs: string;
  readonly sets: readonly PointSet[];
  readonly layouts: readonly Layout[];
  readonly measures: { readonly columns: readonly string[]; readonly steps: readonly number[] };
  readonly predictions: boolean;
  readonly omissions: readonly Omission[];
  readonly nbytes: number;
}

/** Numbers of each step, row-major [steps, columns]. */
export interface StepTable {
  readonly steps: readonly number[];
  readonly columns: readonly string[];
  readonly values: Float32Array;
}

/** The set of points that is not described (yet). */
export const UNDESCRIBED = -1;

/** Where the points are at a step. */
export interface Points {
  readonly step: number;
  /** Index into the embedding's sets, or UNDESCRIBED. */
  readonly set: number;
  readonly count: number;
  readonly dims: number;
  /** [count, dims]; NaN where a point is nowhere. */
  readonly positions: Float32Array;
  /** [count] The class that the model predicts, NaN where it is not known; null where there are none. */
  readonly predictions: Float32Array | null;
}

/** Some thumbnails, row-major [count, height, width, channels]. */
export interface ThumbnailPage extends ThumbnailSize {
  readonly first: number;
  readonly pixels: Uint8Array;
}

/** Linear CKA between the steps of an embedding and those of another one, [steps, other steps]. */
export interface Similarity {
  readonly steps: readonly number[];
  readonly otherSteps: readonly number[];
  readonly values: Float32Array;
}

/** Linear CKA between the embeddings of a run at a step, [names, names]. */
export interface LayerSimilarity {
  readonly names: readonly string[];
  /** Step of the record that was used of each. */
  readonly steps: readonly number[];
  readonly values: Float32Array;
}

/** One embedding of one run. */
export interface Of {
  readonly run: string;
  readonly embedding: string;
}

export interface PointsQuery extends Of {
  /** Index into the embedding's layouts. */
  readonly layout: number;
  readonly step: number;
}

export interface ThumbnailQuery extends Of {
  readonly set: number;
  readonly first: number;
  readonly count: number;
}

export const embeddingsAddress = (run: string) => address('embeddings', { run });
export const layoutAddress = ({ run, embedding }: Of, layout: number) =>
  address('layout', { run, embedding, layout });
export const measuresAddress = ({ run, embedding }: Of) => address('measures', { run, embedding });
export const pointsAddress = ({ run, embedding, layout, step }: PointsQuery) =>
  address('points', { run, embedding, layout, step });
export const labelsAddress = ({ run, embedding }: Of, set: number) =>
  address('point_labels', { run, embedding, set });
export const thumbnailsAddress = ({ run, embedding, set, first, count }: ThumbnailQuery) =>
  address('thumbnails', { run, embedding, set, first, count });
export const similarityAddress = ({ run, embedding }: Of, other: Of) =>
  address('similarity', { run, embedding, other_run: other.run, other: other.embedding });
export const layerSimilarityAddress = ({ run, embedding }: Of, step: number) =>
  address('layer_similarity', { run, embedding, step });

export const getEmbeddings = async (run: string, signal: AbortSignal) =>
  (await json<{ embeddings: Embedding[] }>(embeddingsAddress(run), signal)).embeddings;

export const getStepTable = async (path: string, signal: AbortSignal): Promise<StepTable> =>
  decodeStepTable(await frame(path, signal));

export const getPoints = async (query: PointsQuery, signal: AbortSignal): Promise<Points> =>
  decodePoints(await frame(pointsAddress(query), signal));

export const getLabels = async (of: Of, set: number, signal: AbortSignal): Promise<Float32Array> =>
  arrayOf(await frame(labelsAddress(of, set), signal), 'labels', 'float32', [null]);

export const getThumbnails = async (query: ThumbnailQuery, signal: AbortSignal): Promise<ThumbnailPage> =>
  decodeThumbnails(await frame(thumbnailsAddress(query), signal), query.first);

export const getSimilarity = async (of: Of, other: Of, signal: AbortSignal): Promise<Similarity> =>
  decodeSimilarity(await frame(similarityAddress(of, other), signal));

export const getLayerSimilarity = async (of: Of, step: number, signal: AbortSignal) =>
  decodeLayerSimilarity(await frame(layerSimilarityAddress(of, step), signal));

export function decodeStepTable(frame: Frame): StepTable {
  const steps = listOf(frame, 'steps', isNumber);
  const columns = listOf(frame, 'columns', isText);
  return { steps, columns, values: arrayOf(frame, 'values', 'float32', [steps.length, columns.length]) };
}

export function decodePoints(frame: Frame): Points {
  const { step, set } = frame.header;
  if (!isNumber(step) || !(isNumber(set) || set === null))
    throw new DataError('malformed', 'The server sent points without saying of which step and set.');
  const positions = arrayOf(frame, 'positions', 'float32', [null, null]);
  const [count, dims] = frame.arrays.get('positions')!.shape as [number, number];
  if (dims !== 2 && dims !== 3)
    throw new DataError('malformed', `The server sent points in ${dims} dimensions instead of 2 or 3.`);
  const predictions = arrayOf(frame, 'predictions', 'float32', [null]);
  if (predictions.length !== 0 && predictions.length !== count)
    throw new DataError('malformed', `The server sent ${predictions.length} predictions of ${count} points.`);
  return {
    step,
    set: set ?? UNDESCRIBED,
    count,
    dims,
    positions,
    predictions: predictions.length > 0 ? predictions : null,
  };
}

export function decodeThumbnails(frame: Frame, first: number): ThumbnailPage {
  const pixels = arrayOf(frame, 'thumbnails', 'uint8', [null, null, null, null]);
  const shape = frame.arrays.get('thumbnails')!.shape as [number, number, number, number];
  const [count, height, width, channels] = shape;
  if (![1, 3, 4].includes(channels))
    throw new DataError(
      'malformed',
      `The server sent thumbnails of ${channels} channels instead of 1, 3 or 4.`,
    );
  return { first, count, height, width, channels, pixels };
}

export function decodeSimilarity(frame: Frame): Similarity {
  const steps = listOf(frame, 'steps', isNumber);
  const otherSteps = listOf(frame, 'other_steps', isNumber);
  return {
    steps,
    otherSteps,
    values: arrayOf(frame, 'values', 'float32', [steps.length, otherSteps.length]),
  };
}

export function decodeLayerSimilarity(frame: Frame): LayerSimilarity {
  const names = listOf(frame, 'names', isText);
  const steps = listOf(frame, 'steps', isNumber);
  return { names, steps, values: arrayOf(frame, 'values', 'float32', [names.length, names.length]) };
}

const isNumber = (entry: unknown): entry is number => Number.isFinite(entry);
const isText = (entry: unknown): entry is string => typeof entry === 'string';

/** A list in the header, whose entries are all of a kind. */
function listOf<T>({ header }: Frame, name: string, isOne: (entry: unknown) => entry is T): readonly T[] {
  const list = header[name];
  if (!Array.isArray(list) || !list.every(isOne))
    throw new DataError('malformed', `The server's answer could not be read: it lists no ${name}.`);
  return list;
}
