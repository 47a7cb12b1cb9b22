/** All layers at one step, each in its row over one axis. */

import { flaggedRows, inView, type RowScene, rowTop } from '../heatmap/scene';
import { rowOf } from '../layout';
import { drawMark, MARK_WORDS } from '../marks';
import { formatTick } from '../numbers';
import { AXIS_TEXT, BODY_TEXT, hairline, write } from '../paint';
import type { ValueScale } from '../scale';
import type { LayoutRow, Matrix, Painter } from '../types';
import type { ProfileKind } from './kinds';
import type { Reading } from './values';

export interface ProfileScene extends RowScene {
  readonly kind: ProfileKind;
  readonly mean: Matrix;
  readonly reach: Matrix;
  readonly records: { readonly mean: number; readonly reach: number };
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
    if (inView(scene, row)) scene.kind.drawRow(painter, scene, row, flags.get(row) ?? theme.token['run-1']);
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

/** The mark of what is missing, and its word where the row is high enough. */
export function drawAbsence(
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
