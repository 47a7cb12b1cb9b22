/** A row of magnitudes. */

import { rowTop } from '../heatmap/scene';
import { hairline } from '../paint';
import type { LayoutRow, Painter } from '../types';
import { drawAbsence, type ProfileScene, xOfValue } from './drawProfile';
import { rowReading } from './values';

/** Mean and largest magnitude as dots on a log axis, which has no foot for bars to stand on. */
export function drawMagnitudes(painter: Painter, scene: ProfileScene, row: LayoutRow, color: string): void {
  const { theme } = scene;
  const y = rowTop(scene, row) + row.height / 2;
  const mean = rowReading(scene.mean, row, scene.records.mean, 'low');
  const max = rowReading(scene.reach, row, scene.records.reach, 'high');
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

export function dot(
  painter: Painter,
  x: number,
  y: number,
  radius: number,
  fill: string,
  stroke: string,
): void {
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
