/** Draws the maps that are in sight, with their names below. */
import { formatValue } from '../numbers';
import { fitText, hatch, polygon, textWidth, write } from '../paint';
import type { Size } from '../plot';
import type { Theme } from '../theme';
import type { Painter } from '../types';
import type { MapImages } from './images';
import { BETWEEN, NAME, type TileLayout, tilePlace, tilesInView } from './layout';
import { type MapPane, type MapPicture, type MapScale, type MapState, stateOf } from './types';
import { badgeWords, isPartly } from './words';

export interface TileScene {
  readonly theme: Theme;
  readonly layout: TileLayout;
  /** From the top of the content, in CSS pixels. */
  readonly scroll: number;
  /** Room above the tiles for the titles of the panes. */
  readonly top: number;
  readonly panes: readonly MapPane[];
  /** Which map each tile shows. */
  readonly order: readonly number[];
  readonly scale: MapScale;
  /** The map with the frame, or -1. */
  readonly cursor: number;
  readonly images: MapImages;
}

/** Height of the titles above two panes. */
export const TITLES = 24;
/** A name is followed by the strength from this width on. */
const WIDE = 72;

export function drawTiles(painter: Painter, scene: TileScene, { width, height, ratio }: Size): void {
  const { layout, scroll, top, panes, order } = scene;
  painter.save();
  painter.beginPath();
  painter.rect(0, top, width, height - top);
  painter.clip();
  const [from, to] = tilesInView(layout, scroll, height - top);
  for (const [number, pane] of panes.entries())
    for (let tile = from; tile < to; tile++) {
      const [x, y] = tilePlace(layout, number, tile);
      drawTile(painter, scene, pane, `${number}:${order[tile]}`, order[tile]!, x, top + y - scroll, ratio);
    }
  painter.restore();
  drawTitles(painter, scene, width, height);
}

function drawTile(
  painter: Painter,
  scene: TileScene,
  pane: MapPane,
  place: string,
  index: number,
  x: number,
  y: number,
  ratio: number,
): void {
  const { theme, layout, scale, images, cursor } = scene;
  const map = index < pane.count ? pane.map(index) : null;
  if (map === null) {
    if (index >= pane.count || pane.trouble !== '') hatch(painter, theme, x, y, layout.width, layout.height);
    else fill(painter, theme.token['bg-subtle'], x, y, layout);
  } else {
    const domain = scale.domain(index);
    const state = stateOf(map);
    if (state === 'varies' && domain !== null) {
      const size = { width: Math.round(layout.width * ratio), height: Math.round(layout.height * ratio) };
      const image = images.at(place, { map, domain, signed: scale.signed, theme, ...size });
      painter.drawImage(image, x, y, layout.width, layout.height);
    } else drawState(painter, theme, state, map, x, y, layout);
    if (isPartly(map)) drawBadge(painter, theme, map, x, y, layout.width);
  }
  if (index === cursor) frame(painter, theme, x, y, layout);
  drawName(painter, theme, pane, index, x, y, layout);
}

/** What has no picture: a constant, which is zero or not, and what is not finite. */
export function drawState(
  painter: Painter,
  theme: Theme,
  state: MapState,
  { low }: MapPicture,
  x: number,
  y: number,
  box: { readonly width: number; readonly height: number },
): void {
  const { token } = theme;
  const [middleX, middleY] = [Math.round(x + box.width / 2), Math.round(y + box.height / 2)];
  if (state === 'nonfinite') {
    fill(painter, token['cell-nan'], x, y, box);
    line(painter, token['cell-nan-mark'], [x + 6, y + box.height - 6], [x + box.width - 6, y + 6]);
    return;
  }
  fill(painter, token['cell-zero'], x, y, box);
  outline(painter, token['border-strong'], x, y, box);
  if (low === 0) {
    painter.fillStyle = token['cell-zero-mark'];
    painter.beginPath();
    painter.arc(middleX, middleY, 2.5, 0, 2 * Math.PI);
    painter.fill();
    return;
  }
  for (const shift of [-2, 2])
    line(painter, token['cell-zero-mark'], [middleX - 6, middleY + shift], [middleX + 6, middleY + shift]);
}

/** At the top right how many values are not finite, as long as there is room; else the corner alone. */
function drawBadge(
  painter: Painter,
  theme: Theme,
  map: MapPicture,
  x: number,
  y: number,
  width: number,
): void {
  const { token } = theme;
  const words = badgeWords(map);
  const wide = Math.ceil(textWidth(painter, theme, words)) + 8;
  if (wide > width) {
    const corner = x + width;
    polygon(
      painter,
      [
        [corner - 12, y],
        [corner, y],
        [corner, y + 12],
      ],
      token['cell-nan'],
    );
    return;
  }
  fill(painter, token['cell-nan'], x + width - wide, y, { width: wide, height: 16 });
  write(painter, theme, words, x + width - wide + 4, y + 8.5, { color: token['cell-nan-mark'], weight: 500 });
}

function drawName(
  painter: Painter,
  theme: Theme,
  pane: MapPane,
  index: number,
  x: number,
  y: number,
  layout: TileLayout,
): void {
  const middle = y + layout.height + NAME / 2 + 1;
  write(painter, theme, String(index), x, middle, { color: theme.token['text-2'] });
  const strength = index < pane.count ? pane.strength?.[index] : undefined;
  if (strength === undefined || layout.width < WIDE) return;
  write(painter, theme, formatValue(strength), x + layout.width, middle, {
    color: theme.token['text-3'],
    align: 'right',
  });
}

/** Names of the panes and the line between them, where there are two. */
function drawTitles(
  painter: Painter,
  { theme, layout, top, panes }: TileScene,
  width: number,
  height: number,
) {
  if (top === 0) return;
  for (const [number, { title }] of panes.entries()) {
    const left = layout.panes[number]!;
    const room = (layout.panes[number + 1] ?? width + BETWEEN) - BETWEEN - left;
    write(painter, theme, fitText(painter, theme, title, room, { weight: 500 }), left, top / 2 - 2, {
      color: theme.token.text,
      weight: 500,
    });
    if (number > 0) fill(painter, theme.token.border, left - BETWEEN / 2, 0, { width: 1, height });
  }
}

/** The frame of the cursor stands around a tile and in the space beside it. */
function frame(painter: Painter, theme: Theme, x: number, y: number, { width, height }: TileLayout): void {
  painter.strokeStyle = theme.token.text;
  painter.lineWidth = 2;
  painter.setLineDash([]);
  painter.strokeRect(x - 2, y - 2, width + 4, height + 4);
}

interface Box {
  readonly width: number;
  readonly height: number;
}

function fill(painter: Painter, color: string, x: number, y: number, { width, height }: Box): void {
  painter.fillStyle = color;
  painter.fillRect(x, y, width, height);
}

function outline(painter: Painter, color: string, x: number, y: number, { width, height }: Box): void {
  painter.strokeStyle = color;
  painter.lineWidth = 1;
  painter.setLineDash([]);
  painter.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
}

function line(
  painter: Painter,
  color: string,
  from: readonly [number, number],
  to: readonly [number, number],
): void {
  painter.strokeStyle = color;
  painter.lineWidth = 2;
  painter.setLineDash([]);
  painter.beginPath();
  painter.moveTo(...from);
  painter.lineTo(...to);
  painter.stroke();
}
