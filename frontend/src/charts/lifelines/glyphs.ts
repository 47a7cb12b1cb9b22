/** How each state of a unit looks: a line of its own, and a mark where it begins. Shape before colour. */

import { hatch } from '../paint';
import type { Theme } from '../theme';
import type { Painter } from '../types';
import { LIFE } from './life';

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
    case LIFE.alive:
      bar(painter, token['run-1'], left, right, y, weight(share, height));
      break;
    case LIFE.revived:
      hollow(painter, token['run-1'], token.bg, left, right, y, Math.max(3, weight(share, height)));
      break;
    case LIFE.sparse:
      dashes(painter, token['run-1'], left, right, y, [5, 3]);
      break;
    case LIFE.silent:
      dashes(painter, token['text-3'], left, right, y, [1, 3]);
      break;
    case LIFE.dead:
      bar(painter, token.critical, left, right, y, THIN);
      break;
    case LIFE.frozen:
      dashes(painter, token['text-2'], left, right, y, [8, 2, 1, 2]);
      break;
    case LIFE.saturated: {
      const reach = Math.max(1, height / 2 - 1);
      bar(painter, token.warning, left, right, y - reach + 0.5, THIN);
      bar(painter, token.warning, left, right, y + reach - 0.5, THIN);
      break;
    }
    case LIFE.neverRun:
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
  if (state === LIFE.dead) {
    painter.moveTo(x - radius, y - radius);
    painter.lineTo(x + radius, y + radius);
    painter.moveTo(x + radius, y - radius);
    painter.lineTo(x - radius, y + radius);
    painter.strokeStyle = token.critical;
    painter.stroke();
    return;
  }
  if (state === LIFE.revived) painter.arc(x, y, radius, 0, 2 * Math.PI);
  else if (state === LIFE.saturated) painter.rect(x - radius, y - radius, 2 * radius, 2 * radius);
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
    state === LIFE.revived ? token['run-1'] : state === LIFE.saturated ? token.warning : token['text-2'];
  painter.stroke();
}
