/** Asks for the pages that the view needs, again whenever that changes. */
import { effect } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { inView, pages, probe, seen, side, sides, wholePlace } from '../../state/maps';
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

/** The shown side at all steps that were not seen yet, where the reader wants them all. */
function stepsToLoad(): Side[] {
  const own = side.value;
  if (own === null || wholePlace.value !== keyOf(own)) return [];
  const known = seen.of(own);
  return (probe.value?.steps ?? []).filter((step) => !known.has(step)).map((step) => ({ ...own, step }));
}
