/** Where a label beside a point hides least of the curves. */

import { recordsBetween } from '../columns';
import { stepAt } from '../plot';
import { isNumber, type LineScene, recordX, yOf } from './scene';

export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Between the point and its label. */
const AWAY = 8;
/** Hiding another label is as bad as hiding so many points of a curve. */
const LABEL = 1000;

/** Of the four places around a point that lie in the plot the one with the fewest points of curves below it. */
export function freePlace(
  scene: LineScene,
  x: number,
  y: number,
  size: Pick<Box, 'width' | 'height'>,
  taken: readonly Box[],
): Box {
  const { plot } = scene;
  const lefts = [x + AWAY, x - AWAY - size.width];
  const tops = [y - size.height - 2, y + 2, y - size.height / 2];
  const places = lefts.flatMap((left) =>
    tops.map((top) => ({ ...size, left, top: inside(scene, top, size) })),
  );
  const possible = places.filter(({ left }) => left >= plot.left && left + size.width <= plot.right);
  const choices = possible.length ? possible : places;
  const costs = choices.map(
    (box) => LABEL * taken.filter((other) => overlap(box, other)).length + pointsIn(scene, box),
  );
  return choices[costs.indexOf(Math.min(...costs))]!;
}

/** Middle of the label of a level at `y`: above it, and below it where that would leave the plot. */
export function besideLevel({ top }: Pick<LineScene['plot'], 'top'>, y: number): number {
  return y - AWAY < top ? y + AWAY + 1 : y - AWAY;
}

function inside({ plot }: LineScene, top: number, { height }: Pick<Box, 'height'>): number {
  return Math.max(plot.top - 4, Math.min(plot.bottom - height, top));
}

function overlap(a: Box, b: Box): boolean {
  const apart = (low: number, size: number, other: number, otherSize: number) =>
    low >= other + otherSize || other >= low + size;
  return !apart(a.left, a.width, b.left, b.width) && !apart(a.top, a.height, b.top, b.height);
}

/** How many records of all curves are drawn within a box. */
function pointsIn(scene: LineScene, box: Box): number {
  const from = stepAt(scene.plot, scene.domain, box.left);
  const to = stepAt(scene.plot, scene.domain, box.left + box.width);
  let count = 0;
  for (const { series, columns } of scene.lines) {
    const [first, end] = recordsBetween(columns, from, to);
    for (let record = first; record < end; record++) {
      if (!isNumber(series, record)) continue;
      const [left, , right] = recordX(scene, columns, record);
      const y = yOf(scene, series.values[record]!);
      if (overlap(box, { left, top: y - 1, width: Math.max(1, right - left), height: 2 })) count++;
    }
  }
  return count;
}
