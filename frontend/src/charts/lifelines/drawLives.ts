/** The lines of all units in view, their names and what is said about them. */

import { UNIT } from '../../lib/units';
import { recordsBetween } from '../columns';
import { formatCount } from '../numbers';
import { AXIS_TEXT, BODY_TEXT, fitText, hairline, hatch, write } from '../paint';
import { xOf } from '../plot';
import { drawStepAxis } from '../stepAxis';
import type { Painter } from '../types';
import { drawLine, drawTurn, drawTwin, weight } from './glyphs';
import { remarkOf, turnsOf, type UnitLife } from './life';
import { type LifeScene, lifeTop, livesBottom, rowsInView } from './scene';

/** Rows of this height can be named one by one; lower ones are counted in groups. */
const NAMED = 11;
const LINE = 12;
/** A gap narrower than this is left open. */
const NARROW = 2;

export function drawLives(painter: Painter, scene: LifeScene): void {
  const { plot, theme, total } = scene;
  if (total === 0) {
    const middle = [(plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2] as const;
    write(painter, theme, scene.empty, ...middle, {
      color: theme.token['text-3'],
      size: BODY_TEXT,
      align: 'center',
    });
    return;
  }
  const [from, to] = rowsInView(scene);
  painter.save();
  painter.beginPath();
  painter.rect(0, plot.top, scene.width, plot.bottom - plot.top);
  painter.clip();
  drawSelected(painter, scene);
  for (let row = from; row < to; row++) {
    const life = scene.life(row);
    if (life) drawLife(painter, scene, row, life);
  }
  painter.restore();
  painter.save();
  painter.beginPath();
  painter.rect(plot.left - 5, plot.top, plot.right - plot.left + 10, plot.bottom - plot.top);
  painter.clip();
  for (let row = from; row < to; row++) {
    const life = scene.life(row);
    if (life) drawTurns(painter, scene, row, life);
  }
  painter.restore();
  hairline(painter, [plot.left - 1, plot.top], [plot.left - 1, livesBottom(scene)], theme.token.border);
  drawTwins(painter, scene, from, to);
  drawNames(painter, scene, from, to);
  drawRemarks(painter, scene, from, to);
  drawThumb(painter, scene);
}

function drawSelected(painter: Painter, scene: LifeScene): void {
  const { selection, rows, theme } = scene;
  if (selection.row === null) return;
  const height = Math.max(rows.height, NAMED);
  const middle = lifeTop(scene, selection.row) + rows.height / 2;
  painter.fillStyle = theme.token['bg-sunken'];
  painter.fillRect(0, Math.round(middle - height / 2), scene.width, Math.round(height));
}

const middleOf = (scene: LifeScene, row: number) => (lifeTop(scene, row) + lifeTop(scene, row + 1)) / 2;

function drawLife(painter: Painter, scene: LifeScene, row: number, life: UnitLife): void {
  const { plot, domain, theme } = scene;
  const { columns, states, fired } = life;
  const height = Math.max(
    1,
    lifeTop(scene, row + 1) - lifeTop(scene, row) - (scene.rows.height >= 6 ? 2 : 1),
  );
  const y = middleOf(scene, row);
  const [first, end] = recordsBetween(columns, domain[0], domain[1]);
  const left = (record: number) => Math.max(plot.left, xOf(plot, domain, columns.left[record]!));
  const right = (record: number) => Math.min(plot.right, xOf(plot, domain, columns.right[record]!));
  const look = (record: number) => Math.round(2 * weight(fired[record]!, height));
  for (let record = first; record < end; ) {
    const start = record;
    const touches = () => record === start || columns.left[record]! <= columns.right[record - 1]!;
    const same = () => states[record] === states[start] && look(record) === look(start);
    while (record < end && touches() && same()) record++;
    const box = { left: left(start), right: right(record - 1), y, height };
    if (box.right > box.left) drawLine(painter, theme, states[start]!, box, fired[start]!);
    if (record < end && columns.left[record]! > columns.right[record - 1]!) {
      const gap = left(record) - box.right;
      if (gap >= NARROW) hatch(painter, theme, box.right, y - height / 2, gap, height);
    }
  }
}

function drawTurns(painter: Painter, scene: LifeScene, row: number, life: UnitLife): void {
  const { plot, domain, theme, rows } = scene;
  const radius = Math.min(3.5, Math.max(1.5, rows.height * 0.34));
  for (const { state, record } of turnsOf(life.states)) {
    const x = xOf(plot, domain, life.columns.left[record]!);
    if (x < plot.left - 4 || x > plot.right + 4) continue;
    drawTurn(painter, theme, state, x, middleOf(scene, row), radius);
  }
}

/** Beside the units that are like another one. */
function drawTwins(painter: Painter, scene: LifeScene, from: number, to: number): void {
  const { plot, theme, rows, twins } = scene;
  for (let row = from; row < to; row++) {
    const twin = twins.get(scene.life(row)?.unit ?? -1);
    const y = middleOf(scene, row);
    if (twin === undefined || y < plot.top + 1 || y > plot.bottom - 1) continue;
    drawTwin(painter, theme, twin.opposite, plot.left - 6, y, rows.height);
  }
}

/** The numbers of units where rows are high enough, and that of the selected one in any case. */
function drawNames(painter: Painter, scene: LifeScene, from: number, to: number): void {
  const { plot, theme, rows, selection } = scene;
  if (plot.left < 40) return;
  for (let row = from; row < to; row++) {
    const life = scene.life(row);
    const selected = row === selection.row;
    const middle = middleOf(scene, row);
    const y = selected ? Math.min(plot.bottom - 6, Math.max(plot.top + 6, middle)) : middle;
    if (!life || (!selected && rows.height < NAMED) || y < plot.top + 4 || y > plot.bottom - 4) continue;
    write(painter, theme, `unit ${formatCount(life.unit)}`, plot.left - 13, y + 0.5, {
      color: theme.token[selected ? 'text' : 'text-2'],
      weight: selected ? 500 : 400,
      size: AXIS_TEXT,
      align: 'right',
    });
  }
}

/** At the right edge: what a row is, or how many neighbours are the same. */
function drawRemarks(painter: Painter, scene: LifeScene, from: number, to: number): void {
  const { plot, theme, rows, width } = scene;
  const room = width - plot.right - 20;
  if (room < 40) return;
  if (rows.height >= NAMED) {
    for (let row = from; row < to; row++) {
      const life = scene.life(row);
      const y = middleOf(scene, row);
      if (!life || y < plot.top + 4 || y > plot.bottom - 4) continue;
      const color = theme.token[life.states[life.states.length - 1] === UNIT.dead ? 'critical' : 'text-2'];
      write(
        painter,
        theme,
        fitText(painter, theme, remarkOf(life, scene.names), room + 8),
        plot.right + 10,
        y + 0.5,
        {
          color,
        },
      );
    }
    return;
  }
  for (const { state, first, end, whole } of groupsOf(scene, from, to)) {
    const top = Math.max(plot.top, lifeTop(scene, first)) + 1.5;
    const bottom = Math.min(plot.bottom, lifeTop(scene, end)) - 1.5;
    if (bottom - top < LINE) continue;
    bracket(painter, theme.token['border-strong'], plot.right + 6, top, bottom);
    const words = `${whole ? `${formatCount(end - first)} ` : ''}${scene.names[state] ?? ''}`;
    write(painter, theme, fitText(painter, theme, words, room), plot.right + 16, (top + bottom) / 2, {
      color: theme.token[state === UNIT.dead ? 'critical' : 'text-2'],
      weight: state === UNIT.dead ? 500 : 400,
    });
  }
}

/** Neighbours that are in one state at their last record; `whole` where none of them is still to be fetched. */
function groupsOf(scene: LifeScene, from: number, to: number) {
  const last = (row: number) => {
    const life = scene.life(row);
    return life === null ? null : life.states[life.states.length - 1];
  };
  const isFetched = (row: number) => row < 0 || row >= scene.total || scene.life(row) !== null;
  const groups: { state: number; first: number; end: number; whole: boolean }[] = [];
  for (let row = from; row < to; ) {
    const state = last(row);
    let [first, end] = [row, row + 1];
    if (state === null || state === undefined) {
      row = end;
      continue;
    }
    while (groups.length === 0 && first > 0 && last(first - 1) === state) first--;
    while (end < scene.total && last(end) === state) end++;
    groups.push({ state, first, end, whole: isFetched(first - 1) && isFetched(end) });
    row = end;
  }
  return groups;
}

function bracket(painter: Painter, color: string, x: number, top: number, bottom: number): void {
  painter.strokeStyle = color;
  painter.lineWidth = 1;
  painter.setLineDash([]);
  painter.beginPath();
  painter.moveTo(x - 3, top);
  painter.lineTo(x, top);
  painter.lineTo(x, bottom);
  painter.lineTo(x - 3, bottom);
  painter.stroke();
}

/** A thin bar that says how much of the units is in view. */
function drawThumb(painter: Painter, { plot, rows, scroll, theme }: LifeScene): void {
  const room = plot.bottom - plot.top;
  if (rows.content <= room) return;
  painter.fillStyle = theme.token['border-strong'];
  const height = Math.max(24, (room * room) / rows.content);
  painter.fillRect(plot.right + 2, plot.top + ((room - height) * scroll) / (rows.content - room), 3, height);
}

export function drawLifeAxis(painter: Painter, scene: LifeScene, space: number): void {
  if (space >= 14) drawStepAxis(painter, scene.theme, scene.plot, scene.domain, livesBottom(scene) + 13);
}
