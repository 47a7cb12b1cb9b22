/** Which values the colours of maps stand for. */
import { colourDomain, isSigned, unionOf } from '../charts/maps/domain';
import type { MapScale } from '../charts/maps/types';
import type { Domain } from '../charts/types';
import type { SeenSteps } from './maps-seen';

/** Each map over its own range; the same colours for all of a module at a step; or at all steps that were loaded. */
export type ScaleMode = 'map' | 'step' | 'steps';

/** What was seen of a module for one input, and the step that is shown of it. */
export interface SeenSide {
  readonly seen: SeenSteps;
  readonly step: number;
}

export interface ScaleInUse extends MapScale {
  readonly mode: ScaleMode;
  /** What the scale was taken from. */
  readonly over: { readonly sides: number; readonly maps: number; readonly steps: number };
}

/** The scale that one side, or two that are compared, share. */
export function scaleOf(mode: ScaleMode, sides: readonly SeenSide[]): ScaleInUse {
  const everything = sides.flatMap(({ seen }) => [...seen.values()]);
  const whole = unionOf(...everything.map(({ ranges }) => ranges));
  const signed = isSigned(whole);
  const shown = sides.flatMap(({ seen, step }) => seen.get(step) ?? []);
  const fixed = mode === 'steps' ? whole : unionOf(...shown.map(({ ranges }) => ranges));
  const coloured = (range: Domain | null) => range && colourDomain(range, signed);
  return {
    mode,
    signed,
    over: {
      sides: sides.length,
      maps: Math.max(0, ...shown.map(({ loaded }) => loaded)),
      steps: Math.max(0, ...sides.map(({ seen }) => seen.size)),
    },
    domain:
      mode === 'map'
        ? (index) =>
            coloured(unionOf(...shown.map(({ ranges }) => ranges.subarray(2 * index, 2 * index + 2))))
        : () => coloured(fixed),
  };
}
