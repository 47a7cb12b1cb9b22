/** What lies over the points: the mark of one of them, the lasso, the crosshair of the keyboard. */
import type { Theme } from '../theme';
import type { Painter } from '../types';
import type { Box } from './camera';
import type { Path } from './screen';

export interface OverlayScene {
  readonly theme: Theme;
  /** Where the marked point is. */
  readonly mark: readonly [x: number, y: number] | null;
  /** Diameter of points, in CSS pixels. */
  readonly size: number;
  readonly path: Path;
  readonly hasCrosshair: boolean;
}

const ARM = 7;

export function drawOverlay(painter: Painter, scene: OverlayScene, { width, height }: Box): void {
  painter.setLineDash([]);
  if (scene.mark) {
    const [x, y] = scene.mark;
    twice(painter, scene.theme, () => painter.arc(x, y, scene.size / 2 + 4, 0, 2 * Math.PI));
  }
  if (scene.hasCrosshair)
    twice(painter, scene.theme, () => drawCross(painter, Math.round(width / 2), Math.round(height / 2)));
  if (scene.path.length > 2) {
    painter.setLineDash([4, 3]);
    twice(painter, scene.theme, () => drawPath(painter, scene.path));
    painter.fillStyle = scene.theme.token.band;
    painter.fill();
  }
}

/** Stroke a path as a cursor: with a halo it is seen on any colour. */
function twice(painter: Painter, { token }: Theme, trace: () => void): void {
  painter.beginPath();
  trace();
  for (const [color, width] of [
    [token['cursor-halo'], 4],
    [token.cursor, 1.5],
  ] as const) {
    painter.strokeStyle = color;
    painter.lineWidth = width;
    painter.stroke();
  }
}

function drawCross(painter: Painter, x: number, y: number): void {
  painter.moveTo(x - ARM, y);
  painter.lineTo(x + ARM, y);
  painter.moveTo(x, y - ARM);
  painter.lineTo(x, y + ARM);
}

function drawPath(painter: Painter, path: Path): void {
  painter.moveTo(path[0]!, path[1]!);
  for (let at = 2; at < path.length; at += 2) painter.lineTo(path[at]!, path[at + 1]!);
  painter.closePath();
}
