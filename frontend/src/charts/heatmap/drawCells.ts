/** The cells, their axis, and what is said about rows and steps. */

import { rowOf } from '../layout';
import { AXIS_TEXT, BODY_TEXT, fitText, hairline, polygon, textWidth, write } from '../paint';
import { xOf } from '../plot';
import { drawStepAxis } from '../stepAxis';
import type { LayoutRow, Painter } from '../types';
import type { CellImage } from './cellImage';
import { cellsBottom, flaggedRows, inView, rowTop, type Scene } from './scene';

/** Words at the right edge stand at least this far apart. */
const REMARK_LINE = 16;

export function drawCells(painter: Painter, scene: Scene, image: CellImage): void {
  const { plot, theme } = scene;
  if (!scene.layout.rows.length || !scene.columns.length) {
    painter.strokeStyle = theme.token.border;
    painter.lineWidth = 1;
    painter.strokeRect(
      plot.left + 0.5,
      plot.top + 0.5,
      plot.right - plot.left - 1,
      plot.bottom - plot.top - 1,
    );
    const middle = [(plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2] as const;
    write(painter, theme, scene.empty, ...middle, {
      color: theme.token['text-3'],
      size: BODY_TEXT,
      align: 'center',
    });
    return;
  }
  drawPaper(painter, scene);
  const width = plot.right - plot.left;
  const height = Math.max(1, Math.min(plot.bottom - plot.top, scene.layout.height - scene.scroll));
  const cells = image(scene, width, height);
  painter.drawImage(cells, plot.left, plot.top, cells.width / scene.ratio, cells.height / scene.ratio);
}

/** A frame for cells that may be as white as the page, and a shade behind the words of the selected row. */
function drawPaper(painter: Painter, scene: Scene): void {
  const { plot, theme, layout, scroll } = scene;
  painter.save();
  painter.beginPath();
  painter.rect(0, plot.top - 1, scene.width, plot.bottom - plot.top + 2);
  painter.clip();
  const selected = layout.rows[rowOf(layout, scene.selection.row)];
  painter.fillStyle = theme.token['bg-subtle'];
  if (selected) painter.fillRect(0, rowTop(scene, selected), scene.width, selected.height);
  painter.setLineDash([]);
  painter.strokeStyle = theme.token.border;
  painter.lineWidth = 1;
  for (const { y, height } of layout.scopes)
    painter.strokeRect(plot.left - 0.5, plot.top + y - scroll - 0.5, plot.right - plot.left + 1, height + 1);
  painter.restore();
}

export function drawAxis(painter: Painter, scene: Scene, space: number): void {
  if (space < 14) return;
  drawStepAxis(painter, scene.theme, scene.plot, scene.domain, cellsBottom(scene) + 13);
}

/** Triangles above the cells, a hairline down through them, and the steps where there is room. */
export function drawMarks(painter: Painter, scene: Scene): void {
  const { plot, theme, domain } = scene;
  let free = Number.NEGATIVE_INFINITY;
  for (const mark of [...scene.marks].sort((a, b) => a.step - b.step)) {
    const x = Math.round(xOf(plot, domain, mark.step) - 0.5) + 0.5;
    if (x < plot.left || x > plot.right) continue;
    const color = theme.severity(mark.severity);
    const tip = plot.top - 2;
    polygon(
      painter,
      [
        [x - 4, tip - 6],
        [x + 4, tip - 6],
        [x, tip],
      ],
      color,
    );
    hairline(painter, [x, tip], [x, cellsBottom(scene)], color);
    const style = { weight: 500, size: AXIS_TEXT } as const;
    const width = textWidth(painter, theme, mark.label, style);
    const left = x - 8 - width;
    if (left < free || left < plot.left) continue;
    write(painter, theme, mark.label, left, tip - 3, { ...style, color, halo: theme.token.bg });
    free = x + 8;
  }
}

/** A box around the selected row, in the colour of its flag. */
export function drawBox(painter: Painter, scene: Scene): void {
  const { theme, plot } = scene;
  const row = scene.layout.rows[rowOf(scene.layout, scene.selection.row)];
  if (!row || !inView(scene, row)) return;
  const flag = flaggedRows(scene).find((one) => one.row === row)?.flag;
  painter.strokeStyle = flag ? theme.severity(flag.severity) : theme.token.text;
  painter.lineWidth = 2;
  painter.setLineDash([]);
  const edge = row.height < 6 ? 1 : 0;
  painter.strokeRect(
    plot.left - 1,
    rowTop(scene, row) - edge,
    plot.right - plot.left + 2,
    row.height + 2 * edge,
  );
}

/** What is remarkable about a row, at its right edge; about the selected one first, where there is no room for all. */
export function drawRemarks(painter: Painter, scene: Scene): void {
  const { theme, plot } = scene;
  const room = scene.width - plot.right - 24;
  const taken: number[] = [];
  const flagged = flaggedRows(scene).filter(({ row }) => inView(scene, row));
  const isSelected = (row: LayoutRow) => row.members.includes(scene.selection.row ?? -1);
  const order = (row: LayoutRow) => (isSelected(row) ? Number.NEGATIVE_INFINITY : row.y);
  for (const { row, flag } of flagged.sort((a, b) => order(a.row) - order(b.row))) {
    const color = theme.severity(flag.severity);
    const y = rowTop(scene, row) + row.height / 2;
    const x = plot.right + 7;
    if (room > -16)
      polygon(
        painter,
        [
          [x, y],
          [x + 7, y - 4],
          [x + 7, y + 4],
        ],
        color,
      );
    if (room < 60 || taken.some((other) => Math.abs(other - y) < REMARK_LINE) || !flag.remark) continue;
    const style = {
      size: AXIS_TEXT,
      weight: isSelected(row) ? 500 : 400,
    } as const;
    write(painter, theme, fitText(painter, theme, flag.remark, room, style), x + 12, y + 0.5, {
      ...style,
      color,
    });
    taken.push(y);
  }
}
