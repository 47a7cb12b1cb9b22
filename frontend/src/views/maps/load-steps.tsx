/** Loads all steps of a module, for a scale or a curve over all of them. */
import { formatCount } from '../../charts/numbers';
import type { Probe } from '../../data/maps';
import { pages, seen, wholePlace } from '../../state/maps';
import { keyOf } from '../../state/maps-seen';
import type { Side } from '../../state/maps-wanted';

export function LoadSteps({ probe, side, when }: { probe: Probe; side: Side; when: boolean }) {
  void pages.arrivals.value;
  const known = seen.of(side);
  const missing = probe.steps.filter((step) => !known.has(step)).length;
  if (!when || missing === 0) return null;
  if (wholePlace.value === keyOf(side))
    return <span role="status">Loading: {formatCount(probe.steps.length - missing)} steps are there.</span>;
  return (
    <button
      type="button"
      class="link"
      onClick={() => {
        wholePlace.value = keyOf(side);
      }}
    >
      Load all {formatCount(probe.steps.length)} steps
    </button>
  );
}
