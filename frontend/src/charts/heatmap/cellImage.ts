/** The painted cells, kept until what they show changes: cursor, selection and hover only pass over them. */

import { paintCells } from '../cells';
import type { LayoutRow } from '../types';
import type { Scene } from './scene';

export type CellImage = (scene: Scene, width: number, height: number) => HTMLCanvasElement;

interface Held {
  readonly scene: Scene;
  readonly width: number;
  readonly height: number;
  readonly canvas: HTMLCanvasElement;
}

/** An image that is painted again only when it has to be. */
export function keptCells(): CellImage {
  let held: Held | null = null;
  return (scene, width, height) => {
    const same =
      held !== null && held.width === width && held.height === height && sameCells(held.scene, scene);
    held = same ? held! : { scene, width, height, canvas: paintImage(scene, width, height) };
    return held.canvas;
  };
}

export function paintImage(scene: Scene, width: number, height: number): HTMLCanvasElement {
  const raster = paintCells({ ...scene, width, height }, scene.theme);
  const canvas = document.createElement('canvas');
  canvas.width = raster.width;
  canvas.height = raster.height;
  const bytes = new Uint8ClampedArray(raster.data.buffer as ArrayBuffer);
  canvas.getContext('2d')?.putImageData(new ImageData(bytes, raster.width, raster.height), 0, 0);
  return canvas;
}

/** Whether two scenes have the same cells in the same places. */
export function sameCells(a: Scene, b: Scene): boolean {
  return (
    a.codes === b.codes &&
    a.columns === b.columns &&
    a.scale === b.scale &&
    a.theme === b.theme &&
    a.ratio === b.ratio &&
    a.scroll === b.scroll &&
    a.domain[0] === b.domain[0] &&
    a.domain[1] === b.domain[1] &&
    sameRows(a.layout.rows, b.layout.rows)
  );
}

function sameRows(a: readonly LayoutRow[], b: readonly LayoutRow[]): boolean {
  return a === b || (a.length === b.length && a.every((row, index) => sameRow(row, b[index]!)));
}

function sameRow(a: LayoutRow, b: LayoutRow): boolean {
  return (
    a.y === b.y &&
    a.height === b.height &&
    a.members.length === b.members.length &&
    a.members[0] === b.members[0]
  );
}
