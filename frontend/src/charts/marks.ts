/** The marks of cells that hold no number, for legends and profiles. */

import { hatch } from './paint';
import type { Theme } from './theme';
import type { Painter } from './types';

export type MarkKind = 'zero' | 'nonfinite' | 'no gradient' | 'never run' | 'not recorded';

export const MARK_WORDS: Record<MarkKind, string> = {
  zero: 'zero',
  nonfinite: 'NaN',
  'no gradient': 'no gradient',
  'never run': 'never run',
  'not recorded': 'not recorded',
};

/** Draw a mark into a box, as a cell of that size would show it. */
export function drawMark(
  painter: Painter,
  theme: Theme,
  kind: MarkKind,
  x: number,
  y: number,
  size: number,
): void {
  const { token } = theme;
  if (kind === 'not recorded') hatch(painter, theme, x, y, size, size);
  else {
    const paper =
      kind === 'zero' ? token['cell-zero'] : kind === 'nonfinite' ? token['cell-nan'] : token['cell-missing'];
    painter.fillStyle = paper;
    painter.fillRect(x, y, size, size);
  }
  painter.setLineDash([]);
  painter.lineWidth = 1;
  if (kind === 'zero') {
    painter.fillStyle = token['cell-zero-mark'];
    painter.beginPath();
    painter.arc(x + size / 2, y + size / 2, 1.5, 0, 2 * Math.PI);
    painter.fill();
  } else if (kind === 'nonfinite') {
    painter.strokeStyle = token['cell-nan-mark'];
    painter.beginPath();
    painter.moveTo(x + 1.5, y + size - 1.5);
    painter.lineTo(x + size - 1.5, y + 1.5);
    painter.stroke();
  } else if (kind === 'no gradient') {
    painter.fillStyle = token['text-3'];
    painter.fillRect(x + 3, y + Math.floor(size / 2), size - 6, 1);
  }
  if (kind === 'never run') {
    painter.fillStyle = token['cell-missing-mark'];
    for (let left = 3; left < size - 1; left += 4) painter.fillRect(x + left, y, 1, size);
  }
  painter.strokeStyle = token['border-strong'];
  painter.strokeRect(x + 0.5, y + 0.5, size - 1, size - 1);
}
