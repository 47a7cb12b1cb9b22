/** Where maps stand: tiles of one size in rows, in one pane or in two side by side. */

export interface TileLayout {
  /** Of a picture, in CSS pixels. */
  readonly width: number;
  readonly height: number;
  /** Of a tile with its space and its name. */
  readonly pitchX: number;
  readonly pitchY: number;
  readonly columns: number;
  readonly rows: number;
  /** Left edge of each pane. */
  readonly panes: readonly number[];
  /** Height of all rows. */
  readonly content: number;
  readonly tiles: number;
}

export type TileSize = 'fit' | 'small' | 'medium' | 'large';

/** Side of a square tile. */
const SIDES: Readonly<Record<Exclude<TileSize, 'fit'>, number>> = { small: 48, medium: 88, large: 160 };
/** Tiles that fit by themselves are no larger, and none is so small that nothing is seen. */
const FIT = { most: 320, least: 64 };
const GAP = 8;
/** Height of the name below a picture. */
export const NAME = 16;
/** Between two panes. */
export const BETWEEN = 32;
/** Neither as thin as a line, however long a sequence is. */
const ASPECT = 6;

export interface TileRequest {
  /** Room for the tiles. */
  readonly width: number;
  readonly height: number;
  readonly panes: number;
  readonly tiles: number;
  /** Width of a map to its height. */
  readonly aspect: number;
  readonly size: TileSize;
}

export function layoutTiles(request: TileRequest): TileLayout {
  if (request.size !== 'fit') return layoutWith(request, SIDES[request.size]);
  let side = FIT.most;
  while (side > FIT.least && layoutWith(request, side).content > request.height) side -= 8;
  return layoutWith(request, Math.max(FIT.least, side));
}

/** Tiles of the area that a square of this side has. */
function layoutWith({ width, panes, tiles, aspect }: TileRequest, side: number): TileLayout {
  const shape = Math.sqrt(Math.min(ASPECT, Math.max(1 / ASPECT, aspect || 1)));
  const room = Math.max(1, Math.floor((width - (panes - 1) * BETWEEN) / panes));
  const wide = Math.max(1, Math.min(room, Math.round(side * shape)));
  const high = Math.max(1, Math.round(wide / shape ** 2));
  const pitchX = wide + GAP;
  const pitchY = high + NAME + GAP;
  const columns = Math.max(1, Math.floor((room + GAP) / pitchX));
  const rows = Math.ceil(tiles / columns);
  return {
    width: wide,
    height: high,
    pitchX,
    pitchY,
    columns,
    rows,
    panes: Array.from({ length: panes }, (_, pane) => pane * (room + BETWEEN)),
    content: rows * pitchY,
    tiles,
  };
}

/** Top left corner of a tile of a pane, from the top left of the content. */
export function tilePlace(layout: TileLayout, pane: number, tile: number): [x: number, y: number] {
  const row = Math.floor(tile / layout.columns);
  return [layout.panes[pane]! + (tile - row * layout.columns) * layout.pitchX, row * layout.pitchY];
}

/** The tile at a place of the content, in whichever pane; -1 where there is none. */
export function tileAt(layout: TileLayout, x: number, y: number): number {
  const pane = layout.panes.findLastIndex((left) => x >= left);
  if (pane < 0 || y < 0) return -1;
  const column = Math.floor((x - layout.panes[pane]!) / layout.pitchX);
  const tile = Math.floor(y / layout.pitchY) * layout.columns + column;
  return column < layout.columns && tile < layout.tiles ? tile : -1;
}

/** Tiles from the first to before the last that are in sight. */
export function tilesInView(layout: TileLayout, scroll: number, height: number): [from: number, to: number] {
  const from = Math.max(0, Math.floor(scroll / layout.pitchY)) * layout.columns;
  const to = Math.ceil((scroll + height) / layout.pitchY) * layout.columns;
  return [Math.min(layout.tiles, from), Math.min(layout.tiles, to)];
}
