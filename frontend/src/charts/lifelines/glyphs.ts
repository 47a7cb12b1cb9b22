/** How each state of a unit looks: a line of its own, and a mark where it begins. Shape before colour. */

import { UNIT } from '../../lib/units';
import { hatch } from '../paint';
import type { Theme } from '../theme';
import type { Painter } from '../types';

const THIN = 1;

/** Draw the line of a state from `left` to `right` around `y`; `share` is that of the samples a unit fires on. */
export function drawLine(
  painter: Painter,
  theme: Theme,
  state: number,
  box: { readonly left: number; readonly right: number; readonly y: number; readonly height: number },
  share: number,
): void {
  const { left, right, y, height } = box;
  const { token } = theme;
  const width = right - left;
  const top = y - height / 2;
  switch (state) {
    case UNIT.alive:
      bar(painter, token['run-1'], left, right, y, weight(share, height));
      break;
    case UNIT.revived:
      hollow(painter, token['run-1'], token.bg, left, right, y, Math.max(3, weight(share, height)));
      break;
    case UNIT.sparse:
      dashes(painter, token['run-1'], left, right, y, [5, 3]);
      break;
    case UNIT.silent:
      dashes(painter, token['text-3'], left, right, y, [1, 3]);
      break;
    case UNIT.dead:
      bar(painter, token.critical, left, right, y, THIN);
      break;
    case UNIT.frozen:
      dashes(painter, token['text-2'], left, right, y, [8, 2, 1, 2]);
      break;
    case UNIT.saturated: {
      const reach = Math.max(1, height / 2 - 1);
      bar(painter, token.warning, left, right, y - reach + 0.5, THIN);
      bar(painter, token.warning, left, right, y + reach - 0.5, THIN);
      break;
    }
    case UNIT.neverRun:
      painter.fillStyle = token['cell-missing-mark'];
      for (let x = Math.ceil(left / 4) * 4; x < right; x += 4) painter.fillRect(x, top, 1, height);
      break;
    default:
      hatch(painter, theme, left, top, width, height);
      break;
  }
}

/** Thickness of the line of a unit that fires on `share` of the samples; never less than what can be seen. */
export function weight(share: number, height: number): number {
  const most = Math.max(2, height - 1.5);
  return 1.5 + (most - 1.5) * Math.min(1, Math.max(0, Number.isFinite(share) ? share : 1));
}

function bar(painter: Painter, color: string, left: number, right: number, y: number, thick: number): void {
  painter.fillStyle = color;
  painter.fillRect(left, y - thick / 2, right - left, thick);
}

function hollow(
  painter: Painter,
  color: string,
  paper: string,
  left: number,
  right: number,
  y: number,
  thick: number,
): void {
  bar(painter, color, left, right, y, thick);
  bar(painter, paper, left, right, y, thick - 2);
}

function dashes(
  painter: Painter,
  color: string,
  left: number,
  right: number,
  y: number,
  dash: readonly number[],
): void {
  painter.strokeStyle = color;
  painter.lineWidth = 1.25;
  painter.setLineDash([...dash]);
  painter.beginPath();
  painter.moveTo(left, y);
  painter.lineTo(right, y);
  painter.stroke();
  painter.setLineDash([]);
}

/** Where a state begins: a cross for death, a ring for a return, a square for what is pinned, a diamond for frozen. */
export function drawTurn(
  painter: Painter,
  theme: Theme,
  state: number,
  x: number,
  y: number,
  radius: number,
): void {
  const { token } = theme;
  painter.setLineDash([]);
  painter.lineWidth = radius > 2.5 ? 1.5 : 1.25;
  painter.beginPath();
  if (state === UNIT.dead) {
    painter.moveTo(x - radius, y - radius);
    painter.lineTo(x + radius, y + radius);
    painter.moveTo(x + radius, y - radius);
    painter.lineTo(x - radius, y + radius);
    painter.strokeStyle = token.critical;
    painter.stroke();
    return;
  }
  if (state === UNIT.revived) painter.arc(x, y, radius, 0, 2 * Math.PI);
  else if (state === UNIT.saturated) painter.rect(x - radius, y - radius, 2 * radius, 2 * radius);
  else {
    painter.moveTo(x, y - radius);
    painter.lineTo(x + radius, y);
    painter.lineTo(x, y + radius);
    painter.lineTo(x - radius, y);
    painter.closePath();
  }
  painter.fillStyle = token.bg;
  painter.fill();
  painter.strokeStyle =
    state === UNIT.revived ? token['run-1'] : state === UNIT.saturated ? token.warning : token['text-2'];
  painter.stroke();
}

/** Two bars of a unit that is like another one, with a cross on the upper one where it is the opposite. */
export function drawTwin(
  painter: Painter,
  theme: Theme,
  opposite: boolean,
  x: number,
  y: number,
  room: number,
): void {
  const reach = Math.max(0.5, Math.min(2, room / 2 - 1));
  const left = Math.round(x - 3);
  painter.fillStyle = theme.token.text;
  for (const shift of reach < 1 ? [0] : [-reach, reach])
    painter.fillRect(left, Math.round(y + shift - 0.5), 6, 1);
  if (opposite && reach >= 1) painter.fillRect(left + 2.5, Math.round(y - reach - 0.5) - 2, 1, 5);
}
