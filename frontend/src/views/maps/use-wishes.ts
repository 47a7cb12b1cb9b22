/** Asks for the pages that the view needs, again whenever that changes. */
import { effect } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import {
  inView,
  otherProbe,
  otherSide,
  pages,
  probe,
  seen,
  side,
  sides,
  wholePlace,
  zoomed,
} from '../../state/maps';
import { over } from '../../state/maps-over';
import { mapsPlayer } from '../../state/maps-play';
import { keyOf } from '../../state/maps-seen';
import { type Side, wantedPages } from '../../state/maps-wanted';

export function useWishes(): void {
  useEffect(
    () =>
      effect(() => {
        const ahead = [...mapsPlayer.ahead(side.value), ...stepsToLoad()];
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
  const other = otherSide.value;
  if (own === null || probe.value === null) return [];
  const theirs = other !== null && other.run !== own.run ? (otherProbe.value?.steps ?? []) : [];
  return [...unseen(own, probe.value.steps), ...(other === null ? [] : unseen(other, theirs))];
}

function unseen(own: Side, steps: readonly number[]): Side[] {
  const known = seen.of(own);
  const { maps, height, width } = own.source;
  const unasked = zoomed.value && steps.length * maps * height * width <= UNASKED_BYTES;
  if (!unasked && (side.value === null || wholePlace.value !== keyOf(side.value))) return [];
  return steps.filter((step) => !known.has(step)).map((step) => ({ ...own, step }));
}
