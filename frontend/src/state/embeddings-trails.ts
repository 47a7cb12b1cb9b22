/** Where points were at the steps before. */
import { computed, signal } from '@preact/signals';
import { pointsStore, queryOf, type Scene, type Side, sides } from './embeddings';
import { canMove } from './embeddings-motion';

/** Steps that a trail goes back. */
const LENGTH = 8;

export const withTrails = signal(false);

/** A side at the steps before its own, the oldest first. */
function before(side: Side): Side[] {
  const { steps } = side.embedding.layouts[side.layout]!;
  const at = steps.indexOf(side.step);
  return steps.slice(Math.max(0, at - LENGTH), Math.max(0, at)).map((step) => ({ ...side, step }));
}

/** What trails need of the server; the newest first, which are longest of use. */
export const sidesOfTrails = computed<readonly Side[]>(() =>
  withTrails.value ? sides.value.flatMap((side) => before(side).reverse()) : [],
);

/** [points, dims] of a scene at the steps before, the oldest first: as far back as the points are the same and there. */
export function trailsOf({ side, points }: Scene): Float32Array[] {
  if (!withTrails.value) return [];
  void pointsStore.arrivals.value;
  const earlier = before(side).map((one) => pointsStore.get(queryOf(one)));
  const broken = earlier.findLastIndex((one) => one === undefined || !canMove(one, points));
  return earlier.slice(broken + 1).map((one) => one!.positions);
}
