/** What a point cloud takes and gives. */
import type { Signal } from '@preact/signals';
import type { Exportable } from '../types';

export type Dims = 2 | 3;

/** What a drag does: moves or turns the picture, or marks points. */
export type Tool = 'pan' | 'lasso';

/** From where points are seen, in units that fit every cloud: the extent of the points reaches from -1 to 1. */
export interface CameraState {
  /** What stands in the middle of the picture. */
  readonly x: number;
  readonly y: number;
  /** Zero in two dimensions. */
  readonly z: number;
  /** 1 fits the extent into the picture. */
  readonly zoom: number;
  /** Turn about the vertical axis, in radians; without effect in two dimensions, as the next. */
  readonly azimuth: number;
  /** Height of the eye, in radians from -π/2 to π/2. */
  readonly elevation: number;
}

/** A ball around points. */
export interface Extent {
  readonly centre: readonly [x: number, y: number, z: number];
  /** In two dimensions half the longer side of the box around the points. */
  readonly radius: number;
}

/** N points on their way from one record to another; arrays of two dimensions are row-major. */
export interface CloudData {
  /** [N, dims] Positions of the record before; a row with NaN stands nowhere and is not drawn. */
  readonly from: Float32Array;
  /** [N, dims] Positions of the record after; the same array as `from` where nothing moves. */
  readonly to: Float32Array;
  readonly dims: Dims;
  /** 0 at `from`, 1 at `to`. */
  readonly mix: number;
  /** [N, 4] Red, green, blue, alpha. */
  readonly colour: Uint8Array;
  /** [N] 1 shown, 0 grey. */
  readonly shown: Uint8Array;
  /** [N] 1 with a ring. */
  readonly selected: Uint8Array;
  /** Diameter of a point, in CSS pixels. */
  readonly size: number;
  /** Each [N, dims]: records before `from`, the oldest first; lines lead over `from` to the points that are selected, or else shown. */
  readonly trails?: readonly Float32Array[];
  /** What fits into the picture; by default what `from` and `to` fill, so that a constant one keeps points still that don't move. */
  readonly extent?: Extent;
}

/** Arrays are compared by identity: to change one, give another. */
export interface PointCloudProps extends CloudData {
  /** Heading of exports and name for screen readers. */
  readonly label: string;
  readonly tool: Tool;
  /** The point under the pointer, or in the crosshair of the keyboard, grey ones too; in CSS pixels from the chart's corner. */
  onHover(index: number | null, x: number, y: number): void;
  /** The shown points inside a lasso, in increasing order; none after a click beside it. */
  onLasso(indices: Uint32Array): void;
  /** A click on a point with the tool "pan", or Enter in the crosshair; null beside all points. */
  onClick?(index: number | null): void;
  /** A point with a mark around it, such as the one that is pointed at in a linked cloud. */
  readonly marked?: number | null;
  /** Shared by linked clouds; begins at HOME. */
  readonly view: Signal<CameraState>;
  /** Holds what can be saved while the chart is mounted. */
  readonly exportRef?: { current: Exportable | null };
}
