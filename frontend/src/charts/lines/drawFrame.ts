/** Axes, and the names of curves at their right ends. */

import { formatTick, formatValue } from '../numbers';
import { AXIS_TEXT, fitText, hairline, textWidth, write } from '../paint';
import { xOf } from '../plot';
import { drawStepAxis } from '../stepAxis';
import type { Painter } from '../types';
import { isNumber, type Line, type LineScene, yOf } from './scene';

const LINE = 14;
const KEY = 12;
/** Without this much room at the right, the names of several curves stand inside the plot. */
const OUTSIDE = 56;
const INSIDE = 160;
/** The axis names itself where there is this much room at its left. */
const WORDED = 100;

export function drawFrame(painter: Painter, scene: LineScene): void {
  const { plot, theme, scale } = scene;
  const height = plot.bottom - plot.top;
  const ticks = scale.ticks(Math.max(2, Math.floor(height / 28)));
  for (const tick of ticks) {
    const y = yOf(scene, tick);
    if (y < plot.bottom - 1) hairline(painter, [plot.left, y], [plot.right, y], theme.token.grid);
    const inner = Math.min(plot.bottom - 3, Math.max(plot.top + 3, y));
    write(painter, theme, formatTick(tick), plot.left - 8, inner, {
      color: theme.token['text-3'],
      align: 'right',
    });
  }
  hairline(painter, [plot.left, plot.bottom], [plot.right, plot.bottom], theme.token['border-strong']);
  if (!scene.axis) return;
  const y = plot.bottom + 13;
  drawStepAxis(painter, theme, plot, scene.domain, y);
  if (plot.left >= WORDED) write(painter, theme, 'Step', 0, y, { color: theme.token['text-3'] });
}

/** Whether there is room for names at the right of the plot. */
export function namesOutside({ width, plot }: LineScene): boolean {
  return width - plot.right - 8 >= OUTSIDE;
}

/** Name and last value of each curve, pushed apart where they would overlap; those that find no room are left out. */
export function drawNames(painter: Painter, scene: LineScene): void {
  const { plot, theme } = scene;
  const room = scene.width - plot.right - 8;
  const outside = namesOutside(scene);
  const keyed = scene.lines.length > 1;
  // One curve without a name needs no words inside the plot: the cursor says its values.
  if (!outside && !keyed) return;
  const ends = scene.lines
    .map((line) => ({ line, record: lastNumber(scene, line) }))
    .filter(({ record }) => record >= 0);
  const wanted = ends.map(({ line, record }) => yOf(scene, line.series.values[record]!));
  const low = plot.top + (outside ? 0 : 6);
  const places = spreadApart(wanted, LINE, low, plot.bottom - (outside ? 0 : 8));
  for (const [index, { line, record }] of ends.entries()) {
    const y = places[index]!;
    if (Number.isNaN(y)) continue;
    const value = formatValue(line.series.values[record]!, 3);
    const space = (outside ? room : INSIDE) - (keyed ? KEY + 4 : 0) - textWidth(painter, theme, ` ${value}`);
    const words = `${fitText(painter, theme, line.series.label, space)} ${value}`.trim();
    const left = outside
      ? plot.right + 8
      : plot.right - textWidth(painter, theme, words) - (keyed ? KEY + 8 : 4);
    if (keyed) drawKey(painter, line, left, y);
    const halo = outside ? {} : { halo: theme.token.bg };
    write(painter, theme, words, left + (keyed ? KEY + 4 : 0), y, {
      color: theme.token['text-2'],
      size: AXIS_TEXT,
      ...halo,
    });
  }
}

function drawKey(painter: Painter, { color, series }: Line, x: number, y: number): void {
  painter.strokeStyle = color;
  painter.lineWidth = 2;
  painter.setLineDash(series.dashed ? [3, 2] : []);
  painter.beginPath();
  painter.moveTo(x, y);
  painter.lineTo(x + KEY, y);
  painter.stroke();
  painter.setLineDash([]);
}

/** The last record in view that holds a number, or -1. */
export function lastNumber(scene: LineScene, { series, columns }: Line): number {
  for (let record = columns.length - 1; record >= 0; record--)
    if (isNumber(series, record) && xOf(scene.plot, scene.domain, columns.first[record]!) <= scene.plot.right)
      return record;
  return -1;
}

/** Places near the wanted ones, in their order, `distance` apart, between `low` and `high`; NaN where there is no room. */
export function spreadApart(
  wanted: readonly number[],
  distance: number,
  low: number,
  high: number,
): number[] {
  const places = new Array<number>(wanted.length).fill(Number.NaN);
  const room = Math.max(1, Math.floor((high - low) / distance) + 1);
  const order = [...wanted.keys()].slice(0, room).sort((a, b) => wanted[a]! - wanted[b]!);
  for (const [rank, index] of order.entries()) {
    const after = rank ? places[order[rank - 1]!]! + distance : low;
    const below = (order.length - 1 - rank) * distance;
    places[index] = Math.max(after, Math.min(wanted[index]!, high - below));
  }
  return places;
}
