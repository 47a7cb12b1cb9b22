/** All layers at one step: mean and max as dots on a log axis, which has no foot for bars to stand on. */

import { flaggedRows, inView, type RowScene, rowTop } from '../heatmap/scene';
import { rowOf } from '../layout';
import { drawMark, MARK_WORDS } from '../marks';
import { formatTick } from '../numbers';
import { AXIS_TEXT, BODY_TEXT, hairline, write } from '../paint';
import type { ValueScale } from '../scale';
import type { LayoutRow, Matrix, Painter } from '../types';
import { type Reading, rowReading } from './values';

export interface ProfileScene extends RowScene {
  readonly mean: Matrix;
  readonly max: Matrix;
  readonly records: { readonly mean: number; readonly max: number };
  readonly scale: ValueScale;
  /** [R] A tick of reference for each row, NaN for none. */
  readonly reference: ArrayLike<number> | null;
  readonly empty: string;
}

const MARK = 10;

export function drawProfile(painter: Painter, scene: ProfileScene): void {
  const { plot, theme } = scene;
  drawAxis(painter, scene);
  if (!scene.layout.rows.length) {
    const middle = [(plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2] as const;
    write(painter, theme, scene.empty, ...middle, {
      color: theme.token['text-3'],
      size: BODY_TEXT,
      align: 'center',
    });
    return;
  }
  painter.save();
  painter.beginPath();
  painter.rect(0, plot.top - 1, scene.width, plot.bottom - plot.top + 2);
  painter.clip();
  const selected = scene.layout.rows[rowOf(scene.layout, scene.selection.row)];
  painter.fillStyle = theme.token['bg-subtle'];
  if (selected) painter.fillRect(0, rowTop(scene, selected), scene.width, selected.height);
  drawGrid(painter, scene);
  const flags = new Map(flaggedRows(scene).map(({ row, flag }) => [row, theme.severity(flag.severity)]));
  for (const row of scene.layout.rows)
    if (inView(scene, row)) drawRow(painter, scene, row, flags.get(row) ?? theme.token['run-1']);
  painter.restore();
}

export function xOfValue({ plot, scale }: Pick<ProfileScene, 'plot' | 'scale'>, value: number): number {
  return plot.left + scale.position(value) * (plot.right - plot.left);
}

function ticksOf({ scale, plot }: ProfileScene): number[] {
  return scale.ticks(Math.max(2, Math.floor((plot.right - plot.left) / 56)));
}

function drawAxis(painter: Painter, scene: ProfileScene): void {
  const { plot, theme } = scene;
  for (const tick of ticksOf(scene)) {
    const x = xOfValue(scene, tick);
    const align = x > plot.right - 12 ? 'right' : x < plot.left + 12 ? 'left' : 'center';
    write(painter, theme, formatTick(tick), x, plot.top - 10, {
      color: theme.token['text-3'],
      align,
      size: AXIS_TEXT,
    });
  }
}

function drawGrid(painter: Painter, scene: ProfileScene): void {
  const bottom = Math.min(scene.plot.bottom, scene.plot.top + scene.layout.height - scene.scroll);
  for (const tick of ticksOf(scene)) {
    const x = xOfValue(scene, tick);
    hairline(painter, [x, scene.plot.top], [x, bottom], scene.theme.token.grid);
  }
}

function drawRow(painter: Painter, scene: ProfileScene, row: LayoutRow, color: string): void {
  const { theme } = scene;
  const y = rowTop(scene, row) + row.height / 2;
  const mean = rowReading(scene.mean, row, scene.records.mean, 'low');
  const max = rowReading(scene.max, row, scene.records.max, 'high');
  if (typeof mean !== 'number' || typeof max !== 'number') {
    drawAbsence(painter, scene, row, y, [mean, max]);
    return;
  }
  const [from, to] = [xOfValue(scene, mean), xOfValue(scene, max)];
  const radius = Math.min(3.5, Math.max(1.25, row.height * 0.3));
  painter.setLineDash([]);
  painter.strokeStyle = color;
  painter.lineWidth = row.height < 6 ? 0.5 : 1;
  painter.beginPath();
  painter.moveTo(from, y);
  painter.lineTo(to - radius, y);
  painter.stroke();
  dot(painter, to, y, radius, theme.token.bg, color);
  dot(painter, from, y, radius, color, color);
  const reference = scene.reference ? lowest(scene.reference, row.members) : Number.NaN;
  if (reference > 0) {
    const half = Math.max(1, row.height / 2 - 2);
    hairline(
      painter,
      [xOfValue(scene, reference), y - half],
      [xOfValue(scene, reference), y + half],
      theme.token.text,
    );
  }
}

function dot(painter: Painter, x: number, y: number, radius: number, fill: string, stroke: string): void {
  painter.beginPath();
  painter.arc(x, y, radius, 0, 2 * Math.PI);
  painter.fillStyle = fill;
  painter.fill();
  painter.strokeStyle = stroke;
  painter.lineWidth = radius > 2 ? 1.25 : 0.75;
  painter.stroke();
}

function lowest(values: ArrayLike<number>, members: readonly number[]): number {
  return Math.min(...members.map((member) => values[member]!).filter((value) => value > 0));
}

/** The mark of what is missing, and its word where the row is high enough. */
function drawAbsence(
  painter: Painter,
  scene: ProfileScene,
  row: LayoutRow,
  y: number,
  readings: Reading[],
): void {
  const { theme, plot } = scene;
  const kind = readings.find((one) => typeof one !== 'number');
  if (typeof kind !== 'string') return;
  const size = Math.max(2, Math.min(MARK, row.height - 2));
  drawMark(painter, theme, kind, plot.left + 2, Math.round(y - size / 2), size);
  if (row.height >= 11)
    write(painter, theme, MARK_WORDS[kind], plot.left + MARK + 8, y, { color: theme.token['text-3'] });
}
