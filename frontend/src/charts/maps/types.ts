/** What the charts of maps take. */
import type { Domain } from '../types';

/** One map, a picture of bytes over its own range. */
export interface MapPicture {
  readonly height: number;
  readonly width: number;
  /** [height, width] */
  readonly pixels: Uint8Array;
  /** The values that 0 and 255 stand for; not finite where the map holds a value that is not. */
  readonly low: number;
  readonly high: number;
  /** Values that are NaN or infinite, and drawn as the lowest; NaN where that is not known. */
  readonly nonfinite: number;
}

/** What a map is, besides its colours. */
export type MapState = 'varies' | 'constant' | 'nonfinite';

/** One module's maps for one input at one step; two stand side by side where they are compared. */
export interface MapPane {
  /** In words: "step 400". */
  readonly title: string;
  readonly count: number;
  readonly height: number;
  readonly width: number;
  /** A map that is there, or null while it is not. */
  map(index: number): MapPicture | null;
  /** Mean magnitude of every map; null while it is not known. */
  readonly strength: Float32Array | null;
  /** Why maps are missing, in words; empty while they are on their way. */
  readonly trouble: string;
}

/** How values become colours: signed ones have zero in the middle. */
export interface MapScale {
  readonly signed: boolean;
  /** Of one map, by its index; null where nothing of it is finite. */
  domain(index: number): Domain | null;
}

export function stateOf({ low, high }: Pick<MapPicture, 'low' | 'high'>): MapState {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return 'nonfinite';
  return low === high ? 'constant' : 'varies';
}
