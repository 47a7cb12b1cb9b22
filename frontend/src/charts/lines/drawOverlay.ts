/** The cursor over lines, with a ring and a value on each curve. */

import { formatSteps, formatValue } from '../numbers';
import { chip, cursorLine, textWidth, write } from '../paint';
import { xOf } from '../plot';
import { skipAt, skipWords } from '../skips';
import type { Domain, Hover, Painter } from '../types';
import { lastNumber, namesOutside } from './drawFrame';
import { type Box, freePlace } from './freePlace';
import { isCut, type Line, type LineScene, recordNear, yOf } from './scene';

/** More curves are told apart by the chip alone. */
const RINGS = 4;
/** Height of a value. */
const TEXT = 13;
/** The chip names so many curves. */
const NAMED = 4;

export function drawOverlay(
  painter: Painter,
  scene: LineScene,
  hover: Hover | null,
  brush: Domain | null,
): void {
  const { plot, domain, theme, selection, lines } = scene;
  if (!lines.some((line) => line.columns.length)) return;
  const inside = (step: number) => step >= domain[0] && step <= domain[1];
  if (selection.step !== null && inside(selection.step)) {
    cursorLine(painter, theme, xOf(plot, domain, selection.step), 0, plot.bottom, false);
    if (!hover) drawRings(painter, scene, selection.step);
  }
  if (brush) {
    const [left, right] = [xOf(plot, domain, brush[0]), xOf(plot, domain, brush[1])];
    painter.fillStyle = theme.token.band;
    painter.fillRect(left, plot.top, right - left, plot.bottom - plot.top);
  } else if (hover && inside(hover.step)) {
    painter.globalAlpha = 0.5;
    cursorLine(painter, theme, xOf(plot, domain, hover.step), 0, plot.bottom, false);
    painter.globalAlpha = 1;
    drawRings(painter, scene, hover.step);
  }
}

/** A chip at the top with what the curves are at `step`, for the chart under the pointer. */
export function drawChip(painter: Painter, scene: LineScene, step: number): void {
  const x = xOf(scene.plot, scene.domain, step);
  chip(painter, scene.theme, readout(scene, step), x, 0, scene.plot.left, scene.plot.right);
}

/** "step 1,240 · train 0.31 · val 0.42" */
export function readout({ lines, skips, plot, domain }: LineScene, step: number): string {
  const parts = [`step ${formatSteps(Math.round(step))}`];
  for (const line of lines.slice(0, NAMED)) {
    const record = recordNear(line, step);
    const value = record < 0 ? 'no value' : formatValue(line.series.values[record]!, 3);
    parts.push(lines.length > 1 ? `${line.series.label} ${value}` : value);
  }
  if (lines.length > NAMED) parts.push(`${lines.length - NAMED} more`);
  const skip = skipAt(skips, Math.round(step), plot, domain);
  if (skip) parts.push(skipWords(skip));
  return parts.join(' · ');
}

/** A ring on each curve, and its value where the end of the curve does not say it already. */
function drawRings(painter: Painter, scene: LineScene, step: number): void {
  const { plot, theme, lines, scale } = scene;
  if (lines.length > RINGS) return;
  const taken: Box[] = [];
  for (const line of lines) {
    const record = recordNear(line, step);
    const value = line.series.values[record]!;
    if (record < 0 || (scale.marksZero && value === 0)) continue;
    const x = xOf(plot, scene.domain, step);
    const y = Math.min(plot.bottom, Math.max(plot.top, yOf(scene, value)));
    drawRing(painter, scene, line, x, y);
    if (namesOutside(scene) && record === lastNumber(scene, line)) continue;
    const words = `${formatValue(value, 3)}${isCut(scale, value) ? ' ↑' : ''}`;
    const size = { width: textWidth(painter, theme, words), height: TEXT };
    const place = freePlace(scene, x, y, size, taken);
    taken.push(place);
    write(painter, theme, words, place.left, place.top + TEXT / 2, {
      color: theme.token['text-2'],
      halo: theme.token.bg,
    });
  }
}

function drawRing(painter: Painter, { theme }: LineScene, { color }: Line, x: number, y: number): void {
  painter.beginPath();
  painter.arc(x, y, 3.5, 0, 2 * Math.PI);
  painter.fillStyle = theme.token.bg;
  painter.fill();
  painter.strokeStyle = color;
  painter.lineWidth = 1.5;
  painter.stroke();
}
