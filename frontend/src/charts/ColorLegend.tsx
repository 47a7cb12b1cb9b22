/** What colours and marks mean, with a pointer at the selected value. */

import { useRef } from 'preact/hooks';
import { CanvasLayer, useSize } from './canvas';
import { legendTicks } from './legendTicks';
import { drawMark, MARK_WORDS, type MarkKind } from './marks';
import { formatTick } from './numbers';
import { hairline, polygon, textWidth, write } from './paint';
import type { Size } from './plot';
import type { ValueScale } from './scale';
import { colorAt, pageTheme, type Theme } from './theme';
import type { Painter } from './types';

export interface ColorLegendProps {
  /** Name for screen readers. */
  readonly title: string;
  readonly scale: ValueScale;
  /** The selected value, or null. */
  readonly value?: number | null;
  /** Marks to explain; by default all that the scale has. */
  readonly marks?: readonly MarkKind[];
}

const BAR = { top: 5, height: 8, widest: 180, narrowest: 80 };
const BOX = 12;
/** Height that the legend needs. */
export const LEGEND_HEIGHT = 32;

export function ColorLegend({ title, scale, value = null, marks = marksOf(scale) }: ColorLegendProps) {
  const root = useRef<HTMLDivElement>(null);
  const size = useSize(root);
  const theme = pageTheme();
  const [low, high] = scale.domain;
  return (
    <div
      ref={root}
      class="chart"
      style={{ height: `${LEGEND_HEIGHT}px` }}
      role="img"
      aria-label={`Colours of ${title}: ${formatTick(low)} to ${formatTick(high)}; marks for ${marks.map((kind) => MARK_WORDS[kind]).join(', ')}`}
    >
      <CanvasLayer
        size={size}
        watch={[theme]}
        draw={(painter, box) => drawLegend(painter, theme.peek(), scale, value, marks, box)}
      />
    </div>
  );
}

export function marksOf(scale: ValueScale): readonly MarkKind[] {
  return [
    ...(scale.marksZero ? (['zero'] as const) : []),
    'nonfinite',
    'no gradient',
    'never run',
    'not recorded',
  ];
}

/** Right-aligned: the bar, then the marks; marks that find no room are left out. */
function drawLegend(
  painter: Painter,
  theme: Theme,
  scale: ValueScale,
  value: number | null,
  marks: readonly MarkKind[],
  size: Size,
): void {
  const widths = marks.map((kind) => BOX + 6 + textWidth(painter, theme, MARK_WORDS[kind]) + 14);
  let words = widths.reduce((sum, width) => sum + width, 0) - 14 + 24;
  let shown = marks.length;
  while (shown > 0 && size.width - words < BAR.narrowest + 8) words -= widths[--shown]!;
  const length = Math.max(40, Math.min(BAR.widest, Math.floor(size.width - words - 8)));
  const left = Math.floor(Math.max(4, size.width - words - length - 4));
  drawBar(painter, theme, scale, left, length);
  if (value !== null && Number.isFinite(value) && !(scale.marksZero && value === 0)) {
    const x = left + scale.position(value) * length;
    polygon(
      painter,
      [
        [x - 4, 0],
        [x + 4, 0],
        [x, 5],
      ],
      theme.token.text,
    );
  }
  let x = left + length + 24;
  for (const [index, kind] of marks.slice(0, shown).entries()) {
    drawMark(painter, theme, kind, x, BAR.top - 2, BOX);
    write(painter, theme, MARK_WORDS[kind], x + BOX + 6, BAR.top + 4.5, { color: theme.token['text-2'] });
    x += widths[index]!;
  }
}

function drawBar(painter: Painter, theme: Theme, scale: ValueScale, left: number, length: number): void {
  for (let x = 0; x < length; x++) {
    painter.fillStyle = colorAt(theme, scale.kind, x / (length - 1));
    painter.fillRect(left + x, BAR.top, length - x, BAR.height);
  }
  for (const tick of legendTicks(scale, length)) {
    const x = left + scale.position(tick) * length;
    hairline(painter, [x, BAR.top + BAR.height], [x, BAR.top + BAR.height + 3], theme.token['border-strong']);
    const label = formatTick(tick);
    const half = textWidth(painter, theme, label) / 2;
    const place = Math.min(left + length - half + 6, Math.max(left + half - 6, x));
    write(painter, theme, label, place, BAR.top + BAR.height + 11, {
      color: theme.token['text-3'],
      align: 'center',
    });
  }
}
