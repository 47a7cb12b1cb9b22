/** Probes: inputs that are run through a model at some steps, and pictures of what its modules make of them. */
import { address, frame, json } from './client';
import { DataError } from './errors';
import { arrayOf, type Frame } from './frame';
import type { Omission } from './types';

export type MapKind = 'feature_map' | 'attention' | 'hidden' | 'saliency' | 'grad_cam';

/** A module whose output is kept as pictures, `maps` of them for each input. */
export interface MapSource {
  readonly module: string;
  /** One of MapKind; a newer writer may know more. */
  readonly kind: string;
  readonly maps: number;
  readonly height: number;
  readonly width: number;
}

export interface Probe {
  readonly name: string;
  readonly model: string;
  /** What the inputs are: "images", "tokens" or "vectors". */
  readonly kind: string;
  /** One for each input, or none. */
  readonly labels: readonly string[];
  readonly samples: number;
  /** Null where the inputs are not kept as pictures. */
  readonly inputs: { readonly height: number; readonly width: number; readonly channels: number } | null;
  /** At which the maps were recorded, increasing. */
  readonly steps: readonly number[];
  readonly bytes: number;
  readonly budget: number;
  readonly maps: readonly MapSource[];
  readonly omissions: readonly Omission[];
}

/** Pictures, row-major [count, height, width, channels]. */
export interface Pictures {
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly pixels: Uint8Array;
}

/** Some maps of a module for one input at one step. */
export interface MapPage {
  readonly first: number;
  readonly count: number;
  readonly height: number;
  readonly width: number;
  /** [count, height, width] */
  readonly pixels: Uint8Array;
  /** [count, 2] The values that 0 and 255 stand for. */
  readonly ranges: Float32Array;
  /** [count] Values that are NaN or infinite, and drawn as the lowest; NaN where that is not known. */
  readonly nonfinite: Float32Array;
  /** Mean magnitude of every map of the module, not of this page only. */
  readonly strength: Float32Array;
}

/** Which maps: `count` of them from `first` on. */
export interface PageQuery {
  readonly run: string;
  readonly probe: string;
  /** Index into the probe's maps. */
  readonly map: number;
  readonly step: number;
  readonly sample: number;
  readonly first: number;
  readonly count: number;
}

export const probesAddress = (run: string) => address('probes', { run });
export const inputsAddress = (run: string, probe: string) => address('probe_inputs', { run, probe });
export const pageAddress = (query: PageQuery) => address('maps', { ...query });

export const getProbes = async (run: string, signal: AbortSignal) =>
  (await json<{ probes: Probe[] }>(probesAddress(run), signal)).probes;

export const getInputs = async (run: string, probe: string, signal: AbortSignal): Promise<Pictures> =>
  decodeInputs(await frame(inputsAddress(run, probe), signal));

export const getPage = async (query: PageQuery, signal: AbortSignal): Promise<MapPage> =>
  decodePage(await frame(pageAddress(query), signal), query.first);

export function decodeInputs(frame: Frame): Pictures {
  const pixels = arrayOf(frame, 'pictures', 'uint8', [null, null, null, null]);
  const [count, height, width, channels] = shapeOf(frame, 'pictures') as [number, number, number, number];
  if (channels !== 1 && channels !== 3)
    throw new DataError('malformed', `The server sent inputs of ${channels} channels instead of 1 or 3.`);
  return { count, height, width, channels, pixels };
}

export function decodePage(frame: Frame, first: number): MapPage {
  const pixels = arrayOf(frame, 'pictures', 'uint8', [null, null, null]);
  const [count, height, width] = shapeOf(frame, 'pictures') as [number, number, number];
  const ranges = arrayOf(frame, 'ranges', 'float32', [count, 2]);
  const nonfinite = arrayOf(frame, 'nonfinite', 'float32', [count]);
  const strength = arrayOf(frame, 'strength', 'float32', [null]);
  if (first + count > strength.length)
    throw new DataError('malformed', 'The server sent more maps than the module has.');
  return { first, count, height, width, pixels, ranges, nonfinite, strength };
}

function shapeOf(frame: Frame, name: string): readonly number[] {
  return frame.arrays.get(name)?.shape ?? [];
}
