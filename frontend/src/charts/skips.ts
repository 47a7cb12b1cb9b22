/** Steps that were left out: how they are drawn, said and listed. */

import { formatCount, formatSteps } from './numbers';
import { type Plot, xOf } from './plot';
import type { Theme } from './theme';
import type { Domain, Entry, Painter, Skip, Table } from './types';

/** Half the width of a cross. */
export const CROSS = 3.5;
/** Crosses stand at least this far apart; one stands for those that would cover it. */
const APART = 2 * CROSS + 1;
/** A cross reaches this share of the steps in view at most, however narrow the chart. */
const FARTHEST = 0.01;
export const NO_SKIPS: readonly Skip[] = [];
/** Who leaves steps out. */
const BY = 'skipped by the loss scaler';

/** Crosses on a line at `y`. */
export function drawSkips(
  painter: Painter,
  theme: Theme,
  plot: Plot,
  domain: Domain,
  skips: readonly Skip[],
  y: number,
): void {
  painter.setLineDash([]);
  painter.lineCap = 'round';
  for (const [color, width] of [
    [theme.token.bg, 4.5],
    [theme.token.text, 1.5],
  ] as const) {
    painter.strokeStyle = color;
    painter.lineWidth = width;
    let free = Number.NEGATIVE_INFINITY;
    for (const { first, last } of skips) {
      const x = xOf(plot, domain, (first + last) / 2);
      if (x < plot.left || x > plot.right || x < free) continue;
      painter.beginPath();
      painter.moveTo(x - CROSS, y - CROSS);
      painter.lineTo(x + CROSS, y + CROSS);
      painter.moveTo(x - CROSS, y + CROSS);
      painter.lineTo(x + CROSS, y - CROSS);
      painter.stroke();
      free = x + APART;
    }
  }
  painter.lineCap = 'butt';
}

/** The steps left out at `step`, or else those whose cross is nearest to it and drawn over it; null for none. */
export function skipAt(skips: readonly Skip[], step: number, plot: Plot, domain: Domain): Skip | null {
  const reach = Math.min(CROSS / (plot.right - plot.left), FARTHEST) * (domain[1] - domain[0]);
  const away = ({ first, last }: Skip) => Math.max(first - step, step - last, 0);
  return skips.reduce<Skip | null>(
    (best, skip) => (away(skip) <= Math.min(reach, best ? away(best) - 1e-9 : reach) ? skip : best),
    null,
  );
}

/** Whether `step` was left out for certain: so were all about it. */
export function isLeftOut({ first, last, count }: Skip, step: number): boolean {
  return step >= first && step <= last && count >= last - first + 1;
}

/** "step 1,240 skipped by the loss scaler", "3 of the steps 4,000–4,063 skipped by the loss scaler" */
export function skipWords({ first, last, count }: Skip): string {
  const steps = `step${first === last ? '' : 's'} ${formatSteps(first, last)}`;
  return count > last - first ? `${steps} ${BY}` : `${formatCount(count)} of the ${steps} ${BY}`;
}

/** "4 steps skipped by the loss scaler", or nothing. */
export function countWords(skips: readonly Skip[]): string {
  const count = skips.reduce((sum, skip) => sum + skip.count, 0);
  return count === 0 ? '' : `${formatCount(count)} step${count === 1 ? '' : 's'} ${BY}`;
}

/** A table of records with a line for each of `skips`, where it belongs by its steps; the first two columns are steps. */
export function withSkips(table: Table, lasts: Float64Array, skips: readonly Skip[]): Table {
  if (skips.length === 0) return table;
  const lines: (number | Skip)[] = [];
  let next = 0;
  for (const skip of skips) {
    while (next < table.rowCount && lasts[next]! < skip.first) lines.push(next++);
    lines.push(skip);
  }
  while (next < table.rowCount) lines.push(next++);
  return {
    columns: table.columns,
    rowCount: lines.length,
    row(index) {
      const line = lines[index]!;
      return typeof line === 'number' ? table.row(line) : skipLine(line, table.columns.length);
    },
  };
}

function skipLine({ first, last, count }: Skip, columns: number): Entry[] {
  const word = count > last - first ? 'skipped' : `${count} skipped`;
  return [first, last, ...new Array<string>(columns - 2).fill(word)];
}
