/** What is shown of the axis of steps, and how it moves. */

import type { Domain, StepDomain } from './types';

/** Nobody needs less than this many steps in view. */
const NARROWEST = 4;

/** What is shown now; subscribes where signals are tracked. */
export function visibleSteps({ extent, zoom }: StepDomain): Domain {
  return zoom.value ?? extent.value;
}

/** Show `wanted`, kept inside the extent; everything is the same as no zoom. */
export function zoomTo({ extent, zoom }: StepDomain, wanted: Domain): void {
  const [low, high] = extent.peek();
  const middle = (wanted[0] + wanted[1]) / 2;
  const half = Math.max(NARROWEST, wanted[1] - wanted[0]) / 2;
  const width = Math.min(2 * half, high - low);
  const start = Math.min(high - width, Math.max(low, middle - half));
  zoom.value = width >= high - low ? null : [start, start + width];
}

/** Move what is shown by `steps`. */
export function panBy(domain: StepDomain, from: Domain, steps: number): void {
  const [low, high] = domain.extent.peek();
  const shift = Math.min(high - from[1], Math.max(low - from[0], steps));
  if (domain.zoom.peek()) zoomTo(domain, [from[0] + shift, from[1] + shift]);
}

/** Scale what is shown by `factor` around `step`, which stays in place. */
export function zoomAround(domain: StepDomain, step: number, factor: number): void {
  const [low, high] = domain.zoom.peek() ?? domain.extent.peek();
  zoomTo(domain, [step - (step - low) * factor, step + (high - step) * factor]);
}
