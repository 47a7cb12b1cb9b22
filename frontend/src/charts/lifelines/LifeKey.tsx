/** What the lines and marks of units mean: those that are in the picture. */

import { useRef } from 'preact/hooks';
import { UNIT } from '../../lib/units';
import { CanvasLayer, useSize } from '../canvas';
import { textWidth, write } from '../paint';
import type { Size } from '../plot';
import { pageTheme, type Theme } from '../theme';
import type { Painter } from '../types';
import { drawLine, drawTurn, drawTwin } from './glyphs';

export interface LifeKeyProps {
  /** Codes of UNIT, in the order in which they are to stand. */
  readonly states: readonly number[];
  /** What the states are called, by their codes. */
  readonly names: readonly string[];
  /** Whether units are marked that are the same as another one, and such that are the opposite. */
  readonly twins: readonly boolean[];
}

interface Entry {
  readonly words: string;
  readonly draw: (painter: Painter, theme: Theme, x: number, y: number) => void;
}

const SAMPLE = 20;
const GAP = 16;
const HEIGHT = 20;
/** States that begin with a mark of their own. */
const MARKED: readonly number[] = [UNIT.dead, UNIT.revived, UNIT.saturated, UNIT.frozen];

export function LifeKey({ states, names, twins }: LifeKeyProps) {
  const root = useRef<HTMLDivElement>(null);
  const size = useSize(root);
  const theme = pageTheme();
  const entries = [...states.map((state) => stateEntry(state, names)), ...twins.map(twinEntry)];
  const words = entries.map((entry) => entry.words).join(', ');
  return (
    <div
      ref={root}
      class="chart life-key"
      style={{ height: `${HEIGHT}px` }}
      role="img"
      aria-label={`Lines of units: ${words}`}
    >
      <CanvasLayer
        size={size}
        watch={[theme]}
        inputs={[words]}
        draw={(painter, box) => drawKey(painter, theme.peek(), entries, box)}
      />
    </div>
  );
}

function stateEntry(state: number, names: readonly string[]): Entry {
  const name = names[state] ?? '';
  return {
    words: state === UNIT.alive ? `${name}: the thicker, the more samples it fires on` : name,
    draw(painter, theme, x, y) {
      drawLine(painter, theme, state, { left: x, right: x + SAMPLE, y, height: 8 }, 0.5);
      if (MARKED.includes(state)) drawTurn(painter, theme, state, x + 4, y, 3);
    },
  };
}

function twinEntry(opposite: boolean): Entry {
  return {
    words: opposite ? 'opposite of another unit' : 'same as another unit',
    draw: (painter, theme, x, y) => drawTwin(painter, theme, opposite, x + SAMPLE - 6, y, HEIGHT),
  };
}

/** From left to right; what finds no room is left out from the end. */
function drawKey(painter: Painter, theme: Theme, entries: readonly Entry[], size: Size): void {
  const widths = entries.map(({ words }) => SAMPLE + 6 + textWidth(painter, theme, words) + GAP);
  let shown = entries.length;
  let total = widths.reduce((sum, width) => sum + width, 0) - GAP;
  while (shown > 0 && total > size.width) total -= widths[--shown]!;
  let x = 0;
  const y = HEIGHT / 2;
  for (const [index, { words, draw }] of entries.slice(0, shown).entries()) {
    draw(painter, theme, x, y);
    write(painter, theme, words, x + SAMPLE + 6, y + 0.5, { color: theme.token['text-2'] });
    x += widths[index]!;
  }
}
