/** Names of layers at the left of the cells, as many as can be read; the important ones first. */

import { formatCount } from '../numbers';
import { AXIS_TEXT, BODY_TEXT, fitText, hairline, textWidth, write } from '../paint';
import { leafOf, scopeOf } from '../scopes';
import type { LayoutRow, LayoutScope, Painter } from '../types';
import { cellsBottom, flaggedRows, inView, type RowScene, rowTop } from './scene';

/** Room that a line of text needs. */
const LINE = 12;
/** The same where a name and that of its scope may stand above each other, which then would seem to be one. */
const APART = 15;
/** Rows of this height can all be named; among lower ones only those are that matter. */
const NAMED_ROW = 11;
/** Where names begin, right of the fold arrows. */
export const NAME_LEFT = 16;
const DETAIL_MIN = 200;

interface Label {
  readonly text: string;
  readonly y: number;
  readonly color: string;
  readonly strong: boolean;
  /** Lower is more important. */
  readonly order: number;
}

/** A column of labels none of which overlap; the important ones win. */
function drawColumn(
  painter: Painter,
  scene: RowScene,
  labels: Label[],
  x: number,
  width: number,
  align: 'left' | 'right',
  apart = LINE,
) {
  const taken: number[] = [];
  const { plot, theme } = scene;
  for (const { text, y, color, strong } of labels.sort((a, b) => a.order - b.order || a.y - b.y)) {
    if (y < plot.top + 2 || y > plot.bottom - 2 || taken.some((other) => Math.abs(other - y) < apart))
      continue;
    taken.push(y);
    const style = { size: BODY_TEXT, weight: strong ? 500 : 400, align } as const;
    write(painter, theme, fitText(painter, theme, text, width, style), x, y + 0.5, { ...style, color });
  }
}

export function drawLabels(painter: Painter, scene: RowScene): void {
  if (scene.plot.left < 40) return;
  if (scene.labels === 'tree') drawTree(painter, scene);
  else drawCompact(painter, scene);
}

/** How a row's name is shown: flagged rows in the colour of their severity, the selected one strong. */
function emphasis(scene: RowScene): (row: LayoutRow) => Pick<Label, 'color' | 'strong' | 'order'> {
  const flags = new Map(flaggedRows(scene).map(({ row, flag }) => [row, flag]));
  const { theme, selection } = scene;
  return (row) => {
    const flag = flags.get(row);
    const selected = row.members.includes(selection.row ?? -1);
    const plain = selected ? theme.token.text : theme.token['text-2'];
    return {
      color: flag ? theme.severity(flag.severity) : plain,
      strong: selected || flag !== undefined,
      order: selected ? 0 : flag ? 1 : 3,
    };
  };
}

const centerOf = (scene: RowScene, row: LayoutRow) => rowTop(scene, row) + row.height / 2;

/** Width of the column of scopes. */
function scopeColumn(painter: Painter, scene: RowScene): number {
  const widths = scene.layout.scopes.map(({ name }) =>
    name.length > 40 ? Number.POSITIVE_INFINITY : textWidth(painter, scene.theme, name, { size: BODY_TEXT }),
  );
  const widest = Math.max(0, ...widths);
  return Math.min(widest, scene.plot.left * 0.42);
}

function drawTree(painter: Painter, scene: RowScene): void {
  const { layout, layers, theme, plot } = scene;
  const emphasize = emphasis(scene);
  const scopeWidth = scopeColumn(painter, scene);
  const leafLeft = NAME_LEFT + scopeWidth + (scopeWidth ? 12 : 0);
  const detailed = plot.left >= DETAIL_MIN && layers.some((layer) => layer.detail);
  const detailWidth = detailed ? 64 : 0;
  const leafWidth = plot.left - leafLeft - detailWidth - 16;
  const scopes: Label[] = [];
  /** Rows that stand in no scope: no leaf is beside them, so their names may be as long as both. */
  const loose: Label[] = [];
  const leaves: Label[] = [];
  const details: Label[] = [];
  const quiet = { color: theme.token['text-3'], strong: false };

  for (const scope of layout.scopes) {
    const y = plot.top + scope.y - scene.scroll;
    const first = layout.rows.find((row) => row.members[0] === scope.members[0])!;
    const center = y + first.height / 2;
    drawArrow(painter, scene, scope, center);
    if (scope.name)
      scopes.push({ text: scope.name, y: center, color: theme.token['text-2'], strong: false, order: 2 });
  }
  for (const row of layout.rows.filter((row) => inView(scene, row))) {
    const y = centerOf(scene, row);
    const look = emphasize(row);
    if (row.height < NAMED_ROW && !row.folded && !look.strong) continue;
    const layer = layers[row.members[0]!]!;
    const scope = layout.scopes[row.scope]!.name;
    if (row.folded)
      leaves.push({ text: `${formatCount(row.members.length)} layers`, y, ...quiet, order: look.order });
    else if (scope) leaves.push({ text: leafOf(layer.name, scope), y, ...look });
    else loose.push({ text: layer.name, y, ...look });
    if (detailed && !row.folded && layer.detail)
      details.push({ text: layer.detail, y, ...quiet, order: look.order });
  }
  drawColumn(painter, scene, scopes, NAME_LEFT, scopeWidth, 'left');
  drawColumn(painter, scene, loose, NAME_LEFT, plot.left - NAME_LEFT - detailWidth - 16, 'left');
  drawColumn(painter, scene, leaves, leafLeft, leafWidth, 'left');
  drawColumn(painter, scene, details, plot.left - 16, detailWidth, 'right');
  if (plot.top >= 16)
    write(painter, theme, 'Layers, input first', 0, plot.top - 10, {
      color: theme.token['text-3'],
      size: AXIS_TEXT,
    });
}

/** A chevron that points down over an open scope, right over a folded one, with a line down the open one. */
function drawArrow(painter: Painter, scene: RowScene, scope: LayoutScope, y: number): void {
  const { plot, theme } = scene;
  const top = plot.top + scope.y - scene.scroll;
  if (!scope.foldable || y > plot.bottom || top + scope.height < plot.top) return;
  painter.strokeStyle = theme.token['text-3'];
  painter.lineWidth = 1.25;
  painter.setLineDash([]);
  if (y >= plot.top) {
    painter.beginPath();
    const points = scope.folded
      ? [
          [4, -3],
          [7.5, 0],
          [4, 3],
        ]
      : [
          [2.5, -1.5],
          [6, 2],
          [9.5, -1.5],
        ];
    for (const [index, [x, down]] of points.entries())
      index ? painter.lineTo(x!, y + down!) : painter.moveTo(x!, y + down!);
    painter.stroke();
  }
  const end = Math.min(plot.bottom, top + scope.height - 3);
  if (!scope.folded && end - y > 16)
    hairline(painter, [5.5, Math.max(plot.top, y + 8)], [5.5, end], theme.token.border);
}

/** One column at the edge of the cells: scopes by name, and the full names of what matters or stands alone. */
function drawCompact(painter: Painter, scene: RowScene): void {
  const { layout, layers, theme, plot } = scene;
  const emphasize = emphasis(scene);
  const labels: Label[] = [];
  const nameOf = (row: LayoutRow) => layers[row.members[0]!]!.name;
  const width = plot.left - 12;
  for (const scope of layout.scopes) {
    if (!scope.name || scope.members.length === 1) continue;
    const top = Math.max(plot.top, plot.top + scope.y - scene.scroll);
    const bottom = Math.min(plot.bottom, plot.top + scope.y + scope.height - scene.scroll);
    labels.push({
      text: scope.name,
      y: (top + bottom) / 2,
      color: theme.token['text-3'],
      strong: false,
      order: 2,
    });
  }
  let above = '';
  for (const row of layout.rows.filter((row) => inView(scene, row))) {
    const look = emphasize(row);
    const scope = layout.scopes[row.scope]!;
    const text = row.folded ? scope.name || scopeOf(nameOf(row)) || nameOf(row) : nameOf(row);
    const repeats = text === above;
    above = text;
    const alone = !scope.name || scope.members.length === 1;
    if (!repeats && (alone || look.order < 2))
      labels.push({
        text,
        y: centerOf(scene, row),
        ...look,
      });
  }
  const lowest = Math.max(plot.top, cellsBottom(scene) - LINE / 2);
  const highest = plot.top + LINE / 2 - 1;
  const kept = labels.map((label) => ({ ...label, y: Math.max(highest, Math.min(label.y, lowest)) }));
  drawColumn(painter, scene, kept, plot.left - 10, width, 'right', APART);
  drawEnds(painter, scene);
}

/** Which way the network runs: its input above, its output below. */
function drawEnds(painter: Painter, scene: RowScene): void {
  const { plot, theme, layout } = scene;
  const style = { color: theme.token['text-3'], size: AXIS_TEXT, align: 'right' } as const;
  if (plot.top < 16 || !layout.rows.length) return;
  write(painter, theme, 'input ↓', plot.left - 10, plot.top - 9, style);
  write(painter, theme, 'output', plot.left - 10, cellsBottom(scene) + 8, style);
}
