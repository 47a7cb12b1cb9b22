/** What moves over the cells: the cursor, the cross under the pointer, the stretch to zoom into. */

import { rowOf } from '../layout';
import { formatSteps } from '../numbers';
import { chip, cursorLine } from '../paint';
import { xOf } from '../plot';
import type { Domain, Hover, Painter } from '../types';
import { cellsBottom, rowTop, type Scene } from './scene';
import { cellWords } from './words';

const CHIP = 18;

export function drawOverlay(painter: Painter, scene: Scene, hover: Hover | null, brush: Domain | null): void {
  const { plot, domain, selection, theme } = scene;
  const bottom = cellsBottom(scene);
  const inside = (step: number) => step >= domain[0] && step <= domain[1];
  if (selection.step !== null && inside(selection.step)) {
    const x = xOf(plot, domain, selection.step);
    cursorLine(painter, theme, x, Math.min(plot.top, CHIP), plot.top, false);
    cursorLine(painter, theme, x, plot.top, bottom, true);
    if (plot.top >= CHIP)
      chip(painter, theme, `step ${formatSteps(selection.step)}`, x, 0, plot.left, plot.right);
  }
  if (brush) drawBrush(painter, scene, brush, bottom);
  else if (hover && inside(hover.step)) drawCross(painter, scene, hover, bottom);
}

function drawBrush(painter: Painter, { plot, domain, theme }: Scene, brush: Domain, bottom: number): void {
  const [left, right] = [xOf(plot, domain, brush[0]), xOf(plot, domain, brush[1])];
  painter.fillStyle = theme.token['cursor-halo'];
  painter.globalAlpha = 0.45;
  painter.fillRect(left, plot.top, right - left, bottom - plot.top);
  painter.globalAlpha = 1;
  for (const x of [left, right]) cursorLine(painter, theme, x, plot.top, bottom, true);
}

/** A thin cross, and one chip with layer, steps and value beside the pointer's row. */
function drawCross(painter: Painter, scene: Scene, hover: Hover, bottom: number): void {
  const { plot, domain, theme, layout } = scene;
  const x = xOf(plot, domain, hover.step);
  cursorLine(painter, theme, x, plot.top, bottom, true);
  const row = layout.rows[rowOf(layout, hover.row)];
  if (!row) return;
  const top = rowTop(scene, row);
  painter.setLineDash([]);
  painter.strokeStyle = theme.token.cursor;
  painter.lineWidth = 1;
  painter.strokeRect(plot.left - 0.5, top - 0.5, plot.right - plot.left + 1, row.height + 1);
  const above = top - CHIP - 6;
  const y = above >= plot.top ? above : Math.min(top + row.height + 6, plot.bottom - CHIP);
  chip(painter, theme, cellWords(scene, row, hover.step), x, y, plot.left, plot.right);
}

/** A thin bar that says how much of the content is in view. */
export function drawThumb(painter: Painter, { plot, layout, scroll, theme }: Scene): void {
  const room = plot.bottom - plot.top;
  if (layout.height <= room) return;
  painter.fillStyle = theme.token['border-strong'];
  const height = Math.max(24, (room * room) / layout.height);
  const top = plot.top + ((room - height) * scroll) / (layout.height - room);
  painter.fillRect(plot.right + 2, top, 3, height);
}
