/** The cells of the heatmap as one image. Pure: codes in, pixels out. */

import { COLORS, foldCodes, meanCode } from './codes';
import type { Columns } from './columns';
import { cellMarks, type Marks, type Raster, stampRun } from './patterns';
import { type PixelColumns, pixelCodes, pixelColumns } from './pixels';
import type { ValueScale } from './scale';
import type { Theme } from './theme';
import type { Domain, LayoutRow, RowLayout } from './types';

export interface CellsOptions {
  /** [R, T] from `encode`. */
  readonly codes: Uint16Array;
  readonly columns: Columns;
  readonly scale: ValueScale;
  readonly layout: RowLayout;
  readonly domain: Domain;
  readonly scroll: number;
  /** Of the image, in CSS pixels. */
  readonly width: number;
  readonly height: number;
  readonly ratio: number;
}

/** Paint the rows that are in view; between rows the image stays transparent. */
export function paintCells(options: CellsOptions, theme: Theme): Raster {
  const { columns, layout, scale, ratio, scroll } = options;
  const width = Math.max(1, Math.round(options.width * ratio));
  const height = Math.max(1, Math.round(options.height * ratio));
  const raster: Raster = { width, height, ratio, data: new Uint32Array(width * height) };
  const pixels = pixelColumns(columns, options.domain, width);
  const colors = theme.pixels(scale.kind);
  const marks = cellMarks(theme);
  const line = new Uint16Array(width);
  for (const row of layout.rows) {
    const top = Math.max(0, Math.round((row.y - scroll) * ratio));
    const bottom = Math.min(height, Math.round((row.y + row.height - scroll) * ratio));
    if (bottom <= top) continue;
    const codes = rowCodes(options.codes, columns.length, row, scale);
    pixelCodes(codes, pixels, meanCode(codes), line);
    paintRow(raster, line, pixels, top, bottom, colors, marks);
  }
  return raster;
}

/** [T] codes of a visible row. */
export function rowCodes(codes: Uint16Array, length: number, row: LayoutRow, scale: ValueScale): Uint16Array {
  const first = row.members[0]! * length;
  return row.folded
    ? foldCodes(codes, length, row.members, scale.worst)
    : codes.subarray(first, first + length);
}

function paintRow(
  raster: Raster,
  line: Uint16Array,
  pixels: PixelColumns,
  top: number,
  bottom: number,
  colors: Uint32Array,
  marks: Marks,
): void {
  const { width, data } = raster;
  const start = top * width;
  for (let x = 0; x < width; x++) if (line[x]! < COLORS) data[start + x] = colors[line[x]!]!;
  for (let y = top + 1; y < bottom; y++) data.copyWithin(y * width, start, start + width);
  for (let left = 0; left < width; ) {
    let right = left + 1;
    const code = line[left]!;
    if (code >= COLORS) {
      while (right < width && line[right] === code) right++;
      const cells = pixels.to[right - 1]! - pixels.from[left]!;
      stampRun(raster, marks[code]!, { left, right, top, bottom, cells });
    }
    left = right;
  }
}
