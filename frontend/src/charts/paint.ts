/** Strokes and words that every chart is made of. */

import type { Theme } from './theme';
import type { Painter } from './types';

export interface TextStyle {
  readonly color: string;
  readonly size?: number;
  readonly weight?: 400 | 500;
  readonly align?: 'left' | 'center' | 'right';
  /** Colour of an outline that keeps the words apart from what lies below. */
  readonly halo?: string;
}

export const AXIS_TEXT = 11;
export const BODY_TEXT = 12;

/** Write `text` on one line, its middle at `y`. */
export function write(
  painter: Painter,
  theme: Theme,
  text: string,
  x: number,
  y: number,
  style: TextStyle,
): void {
  setFont(painter, theme, style);
  painter.textAlign = style.align ?? 'left';
  painter.textBaseline = 'middle';
  if (style.halo) {
    painter.strokeStyle = style.halo;
    painter.lineWidth = 4;
    painter.lineJoin = 'round';
    painter.strokeText(text, x, y);
  }
  painter.fillStyle = style.color;
  painter.fillText(text, x, y);
}

export function textWidth(
  painter: Painter,
  theme: Theme,
  text: string,
  style: Omit<TextStyle, 'color'> = {},
): number {
  setFont(painter, theme, style);
  return painter.measureText(text).width;
}

function setFont(
  painter: Painter,
  theme: Theme,
  { size = AXIS_TEXT, weight = 400 }: Omit<TextStyle, 'color'>,
): void {
  painter.font = `${weight} ${size}px ${theme.token.font || 'sans-serif'}`;
}

/** Names may hold line breaks and other control characters; on a chart they are one line. */
const CONTROLS = /\p{Cc}+/gu;
/** Longer names are cut before they are measured. */
const LONGEST = 400;

/** `text` on one line, cut in its middle so that it is at most `width` wide: both ends of a dotted name tell. */
export function fitText(
  painter: Painter,
  theme: Theme,
  text: string,
  width: number,
  style: Omit<TextStyle, 'color'> = {},
) {
  const letters = [...text.replace(CONTROLS, ' ').slice(0, LONGEST)];
  const whole = letters.join('');
  if (text.length <= LONGEST && textWidth(painter, theme, whole, style) <= width) return whole;
  let low = 0;
  let high = letters.length;
  const cut = (kept: number) => {
    const head = Math.ceil(kept * 0.4);
    return `${letters.slice(0, head).join('')}…${letters.slice(letters.length - (kept - head)).join('')}`;
  };
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (textWidth(painter, theme, cut(middle), style) <= width) low = middle;
    else high = middle - 1;
  }
  return low > 0 ? cut(low) : '';
}

/** A line of one pixel that is crisp: horizontal or vertical, its place rounded to the middle of a pixel. */
export function hairline(
  painter: Painter,
  from: readonly [number, number],
  to: readonly [number, number],
  color: string,
  dash: readonly number[] = [],
): void {
  const vertical = from[0] === to[0];
  painter.save();
  painter.strokeStyle = color;
  painter.lineWidth = 1;
  painter.setLineDash([...dash]);
  painter.beginPath();
  for (const [index, [x, y]] of [from, to].entries()) {
    const place: [number, number] = vertical
      ? [Math.round(x - 0.5) + 0.5, y]
      : [x, Math.round(y - 0.5) + 0.5];
    if (index) painter.lineTo(...place);
    else painter.moveTo(...place);
  }
  painter.stroke();
  painter.restore();
}

/** Hatching of what was not recorded. */
export function hatch(
  painter: Painter,
  theme: Theme,
  x: number,
  y: number,
  width: number,
  height: number,
): void {
  painter.save();
  painter.beginPath();
  painter.rect(x, y, width, height);
  painter.clip();
  painter.fillStyle = theme.token['cell-missing'];
  painter.fillRect(x, y, width, height);
  painter.strokeStyle = theme.token['cell-missing-mark'];
  painter.lineWidth = 1;
  painter.setLineDash([]);
  painter.beginPath();
  for (let start = Math.floor((x - height) / 5) * 5; start < x + width; start += 5) {
    painter.moveTo(start, y + height);
    painter.lineTo(start + height, y);
  }
  painter.stroke();
  painter.restore();
}

export function polygon(
  painter: Painter,
  points: readonly (readonly [number, number])[],
  color: string,
): void {
  painter.fillStyle = color;
  painter.beginPath();
  for (const [index, [x, y]] of points.entries()) index ? painter.lineTo(x, y) : painter.moveTo(x, y);
  painter.closePath();
  painter.fill();
}

const CHIP_HEIGHT = 18;

/** Words on ink, centred at `x` and kept between `low` and `high`. */
export function chip(
  painter: Painter,
  theme: Theme,
  text: string,
  x: number,
  y: number,
  low: number,
  high: number,
): void {
  const style = { weight: 500, align: 'center' } as const;
  const words = fitText(painter, theme, text, high - low - 12, style);
  const width = Math.ceil(textWidth(painter, theme, words, style)) + 12;
  const left = Math.round(Math.max(low, Math.min(high - width, x - width / 2)));
  painter.fillStyle = theme.token.text;
  painter.fillRect(left, Math.round(y), width, CHIP_HEIGHT);
  write(painter, theme, words, left + width / 2, Math.round(y) + CHIP_HEIGHT / 2 + 0.5, {
    ...style,
    color: theme.token.bg,
  });
}

/** The line of a cursor; with a halo it is seen on any colour. */
export function cursorLine(
  painter: Painter,
  theme: Theme,
  x: number,
  top: number,
  bottom: number,
  halo: boolean,
): void {
  const place = Math.round(x - 0.5) + 0.5;
  painter.lineWidth = 3;
  painter.setLineDash([]);
  for (const [color, width] of [
    [theme.token['cursor-halo'], 3],
    [theme.token.cursor, 1],
  ] as const) {
    if (width === 3 && !halo) continue;
    painter.strokeStyle = color;
    painter.lineWidth = width;
    painter.beginPath();
    painter.moveTo(place, top);
    painter.lineTo(place, bottom);
    painter.stroke();
  }
}
