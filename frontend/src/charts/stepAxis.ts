/** Labels below everything that is drawn over steps. */

import { formatCount, formatStepTick } from './numbers';
import { textWidth, write } from './paint';
import { type Plot, xOf } from './plot';
import type { Theme } from './theme';
import { stepTicks } from './ticks';
import type { Domain, Painter } from './types';

const TICK_WIDTH = 72;

export function stepTicksOf(plot: Plot, domain: Domain): number[] {
  return stepTicks(domain, Math.max(2, (plot.right - plot.left) / TICK_WIDTH));
}

/** Write the steps with their middle at `y`; the first and the last stay inside the plot. */
export function drawStepAxis(painter: Painter, theme: Theme, plot: Plot, domain: Domain, y: number): void {
  const zoomed = domain[1] - domain[0] < 1000;
  for (const step of stepTicksOf(plot, domain)) {
    const label = zoomed ? formatCount(step) : formatStepTick(step);
    const half = textWidth(painter, theme, label) / 2;
    const x = Math.min(plot.right - half, Math.max(plot.left + half, xOf(plot, domain, step)));
    write(painter, theme, label, x, y, { color: theme.token['text-3'], align: 'center' });
  }
}
