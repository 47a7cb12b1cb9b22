/** The rectangle of a chart that holds its data, and the way from steps to its pixels. */

import type { Domain, Insets } from './types';

export interface Size {
  /** In CSS pixels. */
  readonly width: number;
  readonly height: number;
  /** Pixels of the screen to one of CSS. */
  readonly ratio: number;
}

export interface Plot {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

export function plotArea(size: Pick<Size, 'width' | 'height'>, insets: Insets): Plot {
  const left = Math.min(insets.left, size.width);
  const top = Math.min(insets.top, size.height);
  return {
    left,
    right: Math.max(left + 1, size.width - insets.right),
    top,
    bottom: Math.max(top + 1, size.height - insets.bottom),
  };
}

/** Pixel of a step; `domain` spans the plot from edge to edge. */
export function xOf(plot: Plot, domain: Domain, step: number): number {
  return plot.left + ((step - domain[0]) / (domain[1] - domain[0] || 1)) * (plot.right - plot.left);
}

/** Step at a pixel, with its fraction. */
export function stepAt(plot: Plot, domain: Domain, x: number): number {
  return domain[0] + ((x - plot.left) / (plot.right - plot.left)) * (domain[1] - domain[0]);
}

export function contains(plot: Plot, x: number, y: number): boolean {
  return x >= plot.left && x < plot.right && y >= plot.top && y < plot.bottom;
}
