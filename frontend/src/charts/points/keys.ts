/** What keys do to the camera. */
import { type Box, HOME, panned, turned, zoomed } from './camera';
import type { CameraState, Dims } from './types';

/** Pixels that one press of an arrow moves. */
const STRIDE = 40;
/** Factor of one press of + or -. */
const ZOOM = 1.25;

/** The eye moves with the arrow, and so the picture the other way. */
const ARROWS: Record<string, readonly [right: number, down: number]> = {
  ArrowLeft: [STRIDE, 0],
  ArrowRight: [-STRIDE, 0],
  ArrowUp: [0, STRIDE],
  ArrowDown: [0, -STRIDE],
};
const ZOOMS: Record<string, number> = { '+': ZOOM, '=': ZOOM, '-': 1 / ZOOM, _: 1 / ZOOM };

/** Arrows do what a drag does, with Shift they move the picture in three dimensions too; null for other keys. */
export function afterKey(
  { key, shiftKey }: Pick<KeyboardEvent, 'key' | 'shiftKey'>,
  state: CameraState,
  dims: Dims,
  box: Box,
): CameraState | null {
  const arrow = ARROWS[key];
  if (arrow)
    return dims === 2 || shiftKey ? panned(state, dims, box, ...arrow) : turned(state, box, ...arrow);
  const factor = ZOOMS[key];
  if (factor) return zoomed(state, dims, box, factor);
  return key === '0' ? HOME : null;
}
