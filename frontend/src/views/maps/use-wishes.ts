/** Asks for the pages that the view needs, again whenever that changes. */
import { effect } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { inView, pages, probe, seen, side, sides, wholePlace, zoomed } from '../../state/maps';
import { over } from '../../state/maps-over';
import { sidesAhead } from '../../state/maps-play';
import { keyOf } from '../../state/maps-seen';
import { type Side, wantedPages } from '../../state/maps-wanted';

export function useWishes(): void {
  useEffect(
    () =>
      effect(() => {
        const ahead = [...sidesAhead(), ...stepsToLoad()];
        pages.want(wantedPages({ sides: sides.value, visible: inView.value, overlay: over.value, ahead }));
      }),
    [],
  );
}

/** What all steps may take to be loaded unasked. */
const UNASKED_BYTES = 2 ** 22;

/** The shown side at all steps that were not seen yet, where the reader wants them all or looks at a curve over them. */
function stepsToLoad(): Side[] {
  const own = side.value;
  if (own === null) return [];
  const known = seen.of(own);
  const steps = probe.value?.steps ?? [];
  const { maps, height, width } = own.source;
  const unasked = zoomed.value && steps.length * maps * height * width <= UNASKED_BYTES;
  if (!unasked && wholePlace.value !== keyOf(own)) return [];
  return steps.filter((step) => !known.has(step)).map((step) => ({ ...own, step }));
}
