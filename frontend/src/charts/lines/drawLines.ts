/** Curves over steps, with a mark for everything that is no number on them. */

import { BODY_TEXT, hairline, hatch, polygon, write } from '../paint';
import { xOf } from '../plot';
import type { Painter } from '../types';
import { besideLevel } from './freePlace';
import { isCut, isNonfinite, isNumber, type Line, type LineScene, recordX, yOf } from './scene';

/** A window wider than this is drawn as a level stretch instead of a point. */
const WINDOW = 8;
/** A gap narrower than this is left open without hatching. */
const NARROW = 3;
/** More curves than these are drawn one pixel of the screen wide, which costs a 25th part of a wider stroke. */
const MANY = 16;
/** Half the width of a record that stands between two gaps. */
const LONELY = 2;

export function drawLines(painter: Painter, scene: LineScene): void {
  const { plot, lines, theme } = scene;
  if (!lines.some((line) => line.columns.length)) {
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
  painter.rect(plot.left, plot.top - 1, plot.right - plot.left, plot.bottom - plot.top + 2);
  painter.clip();
  if (lines.length === 1) drawGaps(painter, scene, lines[0]!);
  for (const line of lines) drawBand(painter, scene, line);
  for (const line of lines) drawCurve(painter, scene, line);
  for (const line of lines) drawAbsences(painter, scene, line);
  painter.restore();
  for (const line of lines) drawCuts(painter, scene, line);
}

/** Runs of neighbouring records that `accept` takes. */
function runs(line: Line, accept: (record: number) => boolean): [from: number, to: number][] {
  const found: [number, number][] = [];
  const { length, left, right } = line.columns;
  for (let record = 0; record < length; record++) {
    if (!accept(record)) continue;
    const last = found.at(-1);
    const joined = last && last[1] === record && left[record]! <= right[record - 1]!;
    if (joined) last[1] = record + 1;
    else found.push([record, record + 1]);
  }
  return found;
}

function drawGaps(painter: Painter, scene: LineScene, { columns }: Line): void {
  const { plot, domain, theme } = scene;
  for (let record = 1; record < columns.length; record++) {
    const left = xOf(plot, domain, columns.right[record - 1]!);
    const width = xOf(plot, domain, columns.left[record]!) - left;
    if (width >= NARROW && left < plot.right && left + width > plot.left)
      hatch(painter, theme, left, plot.top, width, plot.bottom - plot.top);
  }
}

function drawBand(painter: Painter, scene: LineScene, line: Line): void {
  const { low, high } = line.series;
  if (!low || !high) return;
  painter.fillStyle = line.color;
  painter.globalAlpha = 0.18;
  const accept = (record: number) =>
    isNumber(line.series, record) && Number.isFinite(low[record]!) && Number.isFinite(high[record]!);
  for (const [from, to] of runs(line, accept)) {
    painter.beginPath();
    for (let record = from; record < to; record++) {
      const [left, , right] = recordX(scene, line.columns, record);
      painter.lineTo(left, yOf(scene, high[record]!));
      painter.lineTo(right, yOf(scene, high[record]!));
    }
    for (let record = to - 1; record >= from; record--) {
      const [left, , right] = recordX(scene, line.columns, record);
      painter.lineTo(right, yOf(scene, low[record]!));
      painter.lineTo(left, yOf(scene, low[record]!));
    }
    painter.closePath();
    painter.fill();
  }
  painter.globalAlpha = 1;
}

function drawCurve(painter: Painter, scene: LineScene, line: Line): void {
  const { scale, lines, ratio } = scene;
  const { values, dashed } = line.series;
  painter.strokeStyle = line.color;
  painter.lineWidth = lines.length > MANY ? 1 / ratio : dashed ? 1 : 1.5;
  painter.lineJoin = 'round';
  painter.setLineDash(dashed ? [3, 2] : []);
  painter.beginPath();
  const accept = (record: number) =>
    isNumber(line.series, record) && !(scale.marksZero && values[record] === 0);
  for (const [from, to] of runs(line, accept))
    for (let record = from; record < to; record++) {
      const y = yOf(scene, values[record]!);
      const [left, middle, right] = recordX(scene, line.columns, record);
      const flat = right - left >= WINDOW || to - from === 1;
      if (record === from) painter.moveTo(flat ? Math.min(left, middle - LONELY) : middle, y);
      else painter.lineTo(flat ? left : middle, y);
      if (flat) painter.lineTo(Math.max(right, middle + LONELY), y);
    }
  painter.stroke();
  painter.setLineDash([]);
}

/** Zero: dots on the foot of a log axis. NaN: vermilion, as wide as its records and at least two pixels. */
function drawAbsences(painter: Painter, scene: LineScene, line: Line): void {
  const { plot, domain, theme, scale, lines } = scene;
  const { values } = line.series;
  const { columns } = line;
  painter.fillStyle = theme.token['cell-nan'];
  for (const [from, to] of runs(line, (record) => isNonfinite(line.series, record))) {
    const left = xOf(plot, domain, columns.left[from]!);
    const width = Math.max(2, xOf(plot, domain, columns.right[to - 1]!) - left);
    const height = lines.length === 1 ? plot.bottom - plot.top : 8;
    painter.fillRect(Math.round(left), plot.top, Math.max(2, Math.round(width)), height);
  }
  if (!scale.marksZero) return;
  painter.fillStyle = theme.token['cell-zero-mark'];
  let free = Number.NEGATIVE_INFINITY;
  for (let record = 0; record < columns.length; record++) {
    const x = recordX(scene, columns, record)[1];
    if (values[record] !== 0 || !isNumber(line.series, record) || x < free) continue;
    painter.beginPath();
    painter.arc(x, plot.bottom - 2, 1.5, 0, 2 * Math.PI);
    painter.fill();
    free = x + 4;
  }
}

/** Triangles at the edge where a curve leaves the axis. */
function drawCuts(painter: Painter, scene: LineScene, line: Line): void {
  const { plot, scale } = scene;
  const { values } = line.series;
  let free = Number.NEGATIVE_INFINITY;
  for (let record = 0; record < line.columns.length; record++) {
    const value = values[record]!;
    if (!isNumber(line.series, record) || !isCut(scale, value)) continue;
    const x = recordX(scene, line.columns, record)[1];
    if (x < plot.left || x > plot.right || x < free) continue;
    const [edge, out] = value > scale.domain[1] ? [plot.top, -1] : [plot.bottom, 1];
    polygon(
      painter,
      [
        [x - 3.5, edge],
        [x + 3.5, edge],
        [x, edge + out * 5],
      ],
      line.color,
    );
    free = x + 8;
  }
}

/** Dashed levels that name themselves. */
export function drawLevels(painter: Painter, scene: LineScene): void {
  const { plot, theme } = scene;
  for (const { value, label, severity } of scene.levels) {
    const color = severity ? theme.severity(severity) : theme.token['text-3'];
    const y = yOf(scene, value);
    hairline(painter, [plot.left, y], [plot.right, y], color, [4, 3]);
    write(painter, theme, label, plot.right - 4, besideLevel(plot, y), {
      color,
      align: 'right',
      halo: theme.token.bg,
    });
  }
}

/** Steps at which something happened: a line with a triangle at its top. */
export function drawMarks(painter: Painter, scene: LineScene): void {
  const { plot, theme, domain } = scene;
  for (const { step, severity } of scene.marks) {
    const x = xOf(plot, domain, step);
    if (x < plot.left || x > plot.right) continue;
    const color = theme.severity(severity);
    hairline(painter, [x, plot.top], [x, plot.bottom], color);
    polygon(
      painter,
      [
        [x - 4, plot.top - 6],
        [x + 4, plot.top - 6],
        [x, plot.top],
      ],
      color,
    );
  }
}
