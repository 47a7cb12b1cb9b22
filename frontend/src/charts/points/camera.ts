/** From where a cloud is seen, and how that changes. */
import type { CameraState, Dims } from './types';

export interface Box {
  /** In CSS pixels. */
  readonly width: number;
  readonly height: number;
}

/** Everything; in three dimensions a little from the side and from above, so that depth is seen. */
export const HOME: CameraState = { x: 0, y: 0, z: 0, zoom: 1, azimuth: 0.5, elevation: 0.35 };

/** Share of the picture that the extent takes. */
const FIT = 0.88;
/** Distance of the eye where zoom is 1; the nearer, the stronger the perspective. */
const DISTANCE = 3.5;
const ZOOMS = [0.2, 5000] as const;
/** Nobody finds back from farther outside. */
const FARTHEST = 2;

type Vector = readonly [number, number, number];

/** Of the picture to the right, of the picture upwards, and from the target to the eye. */
export function axes({
  azimuth,
  elevation,
}: CameraState): readonly [right: Vector, up: Vector, back: Vector] {
  const [sinA, cosA, sinE, cosE] = [
    Math.sin(azimuth),
    Math.cos(azimuth),
    Math.sin(elevation),
    Math.cos(elevation),
  ];
  return [
    [cosA, 0, -sinA],
    [-sinA * sinE, cosE, -cosA * sinE],
    [sinA * cosE, sinE, cosA * cosE],
  ];
}

/** Pixels to one unit, at the target. */
export function pixelsPerUnit({ zoom }: CameraState, { width, height }: Box): number {
  return (FIT * zoom * Math.max(1, Math.min(width, height))) / 2;
}

/** How far the eye is from the target; 1 in two dimensions, where nothing grows by being near. */
export const eyeDistance = ({ zoom }: CameraState, dims: Dims): number => (dims === 2 ? 1 : DISTANCE / zoom);

/** The axes of a picture in two dimensions. */
const FRONT = axes({ ...HOME, azimuth: 0, elevation: 0 });

/** The matrix from units to clip coordinates, [16] column by column. */
export function projection(state: CameraState, dims: Dims, box: Box): Float32Array {
  const scale = pixelsPerUnit(state, box);
  const [wide, high] = [(2 * scale) / Math.max(1, box.width), (2 * scale) / Math.max(1, box.height)];
  if (dims === 2)
    return Float32Array.of(wide, 0, 0, 0, 0, high, 0, 0, 0, 0, 0, 0, -state.x * wide, -state.y * high, 0, 1);
  const distance = eyeDistance(state, dims);
  const target: Vector = [state.x, state.y, state.z];
  const reach = 1 + Math.hypot(...target);
  const far = distance + reach;
  const near = Math.max(distance / 50, distance - reach);
  const [right, up, back] = axes(state);
  const rows = [
    plane(right, target, wide * distance, 0),
    plane(up, target, high * distance, 0),
    plane(
      back,
      target,
      -(far + near) / (far - near),
      (distance * (far + near) - 2 * far * near) / (far - near),
    ),
    plane(back, target, -1, distance),
  ];
  return Float32Array.from({ length: 16 }, (_, cell) => rows[cell % 4]![cell >> 2]!);
}

/** Coefficients of `factor` · (axis · (point - target)) + `offset`. */
function plane(axis: Vector, target: Vector, factor: number, offset: number): readonly number[] {
  const along = axis[0] * target[0] + axis[1] * target[1] + axis[2] * target[2];
  return [...axis.map((part) => factor * part), offset - factor * along];
}

/** Follow a drag by pixels: what was under the pointer stays under it. */
export function panned(state: CameraState, dims: Dims, box: Box, right: number, down: number): CameraState {
  const unit = pixelsPerUnit(state, box);
  const [across, up] = dims === 2 ? FRONT : axes(state);
  const moved = (axis: 0 | 1 | 2) => (across[axis] * -right + up[axis] * down) / unit;
  return bounded({ ...state, x: state.x + moved(0), y: state.y + moved(1), z: state.z + moved(2) });
}

/** Turn by pixels of a drag; across the picture is half a turn. */
export function turned(state: CameraState, box: Box, right: number, down: number): CameraState {
  const angle = Math.PI / Math.max(1, Math.min(box.width, box.height));
  return bounded({
    ...state,
    azimuth: state.azimuth - right * angle,
    elevation: state.elevation + down * angle,
  });
}

/** Zoom by `factor`; in two dimensions what is at a place, in pixels from the middle, stays there. */
export function zoomed(
  state: CameraState,
  dims: Dims,
  box: Box,
  factor: number,
  right = 0,
  down = 0,
): CameraState {
  const next = bounded({ ...state, zoom: state.zoom * factor });
  if (dims === 3) return next;
  const kept = 1 - next.zoom / state.zoom;
  return panned(next, dims, box, right * kept, down * kept);
}

function bounded(state: CameraState): CameraState {
  const within = (value: number, [low, high]: readonly [number, number]) =>
    Math.min(high, Math.max(low, value));
  const room = [-FARTHEST, FARTHEST] as const;
  return {
    x: within(state.x, room),
    y: within(state.y, room),
    z: within(state.z, room),
    zoom: within(state.zoom, ZOOMS),
    azimuth: state.azimuth % (2 * Math.PI),
    elevation: within(state.elevation, [-Math.PI / 2, Math.PI / 2]),
  };
}
