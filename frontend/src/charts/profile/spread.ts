/** A row of values of either sign: the mean, and one standard deviation on either side of it. */

import { rowTop } from '../heatmap/scene';
import { hairline } from '../paint';
import { linearScale, type ValueScale } from '../scale';
import type { LayoutRow, Matrix, Painter } from '../types';
import { drawAbsence, type ProfileScene, xOfValue } from './drawProfile';
import { dot } from './magnitudes';
import { type Reading, reading, signedReading } from './values';

/** Below this share of the axis's end values stand in proportion; above, each factor of ten has the same length. */
const FINEST = 1e-6;
/** The smallest spreads set where that begins; so many of them are left out. */
const TAIL = 0.05;
const SAMPLE = 8192;

/** Zero in the middle, and towards either side a log axis: a signal that shrinks or blows up by decades is seen whole. */
export function spreadScale(mean: Matrix, std: Matrix): ValueScale {
  const spreads = sizesOf(std);
  const means = sizesOf(mean);
  const usual = spreads[Math.floor(spreads.length * TAIL)] ?? 0.1;
  const farthest = Math.max(spreads.at(-1) ?? 0, means.at(-1) ?? 0) || 1;
  return bothSides(Math.max(usual, farthest * FINEST), farthest * 1.5);
}

/** A scale that is linear below `fine` and logarithmic up to `end`, on both sides of zero. */
export function bothSides(fine: number, end: number): ValueScale {
  const most = Math.asinh(end / fine);
  return {
    ...linearScale([-end, end], 'linear'),
    position: (value) => Math.min(1, Math.max(0, (Math.asinh(value / fine) / most + 1) / 2)),
    value: (position) => fine * Math.sinh((2 * position - 1) * most),
    ticks: (count) => ticksOf(fine, end, count),
  };
}

/** Zero, and powers of ten on both sides of it, at most about `count`. */
function ticksOf(fine: number, end: number, count: number): number[] {
  const last = Math.floor(Math.log10(end) + 1e-9);
  const first = Math.ceil(Math.log10(fine) - 1e-9);
  const each = Math.max(1, Math.floor((count - 1) / 2));
  const stride = Math.max(1, Math.ceil((last - first + 1) / each));
  const powers: number[] = [];
  for (let power = last; power >= first && powers.length < each; power -= stride)
    powers.push(Number(`1e${power}`));
  return [...powers.map((value) => -value), 0, ...powers.reverse()];
}

/** Magnitudes of a sample of the numbers, the smallest first. */
function sizesOf({ values }: Matrix): Float64Array {
  const every = Math.ceil(values.length / SAMPLE);
  const picked: number[] = [];
  for (let cell = 0; cell < values.length; cell += every) {
    const size = Math.abs(values[cell]!);
    if (size > 0 && size < Number.POSITIVE_INFINITY) picked.push(size);
  }
  return Float64Array.from(picked).sort();
}

export function drawSpread(painter: Painter, scene: ProfileScene, row: LayoutRow, color: string): void {
  const { theme, plot } = scene;
  const y = rowTop(scene, row) + row.height / 2;
  const [mean, std] = widest(scene, row);
  if (typeof mean !== 'number' || (typeof std !== 'number' && std !== 'zero')) {
    drawAbsence(painter, scene, row, y, [mean, std]);
    return;
  }
  const reach = typeof std === 'number' ? std : 0;
  const [left, middle, right] = [mean - reach, mean, mean + reach].map((value) => xOfValue(scene, value)) as [
    number,
    number,
    number,
  ];
  const thick = Math.min(7, Math.max(1, row.height - 3));
  const zero = xOfValue(scene, 0);
  hairline(
    painter,
    [zero, rowTop(scene, row)],
    [zero, rowTop(scene, row) + row.height],
    theme.token['border-strong'],
  );
  painter.fillStyle = color;
  painter.globalAlpha = 0.35;
  painter.fillRect(left, y - thick / 2, Math.max(1, right - left), thick);
  painter.globalAlpha = 1;
  if (middle >= plot.left && middle <= plot.right)
    dot(painter, middle, y, Math.min(3, Math.max(1.25, row.height * 0.25)), color, color);
}

/** The member of a row that spreads most; what a folded scope stands for. */
function widest({ mean, reach, records }: ProfileScene, row: LayoutRow): [Reading, Reading] {
  const all = row.members.map((member): [Reading, Reading] => [
    signedReading(mean, member, records.mean),
    reading(reach, member, records.reach),
  ]);
  const size = ([, std]: [Reading, Reading]) => (typeof std === 'number' ? std : -1);
  return all.reduce((best, one) => (size(one) > size(best) ? one : best));
}
