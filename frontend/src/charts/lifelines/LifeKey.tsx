/** What the lines and marks of units mean: those states that are in the picture. */

import { useRef } from 'preact/hooks';
import { CanvasLayer, useSize } from '../canvas';
import { textWidth, write } from '../paint';
import type { Size } from '../plot';
import { pageTheme, type Theme } from '../theme';
import type { Painter } from '../types';
import { drawLine, drawTurn } from './glyphs';
import { LIFE, LIFE_WORDS } from './life';

export interface LifeKeyProps {
  /** Of LIFE, in the order in which they are to stand. */
  readonly states: readonly number[];
}

const SAMPLE = 20;
const GAP = 16;
const HEIGHT = 20;
/** States that begin with a mark of their own. */
const MARKED: readonly number[] = [LIFE.dead, LIFE.revived, LIFE.saturated, LIFE.frozen];

const wordsOf = (state: number) =>
  state === LIFE.alive ? 'alive: the thicker, the more samples it fires on' : (LIFE_WORDS[state] ?? '');

export function LifeKey({ states }: LifeKeyProps) {
  const root = useRef<HTMLDivElement>(null);
  const size = useSize(root);
  const theme = pageTheme();
  return (
    <div
      ref={root}
      class="chart life-key"
      style={{ height: `${HEIGHT}px` }}
      role="img"
      aria-label={`Lines of units: ${states.map((state) => LIFE_WORDS[state]).join(', ')}`}
    >
      <CanvasLayer
        size={size}
        watch={[theme]}
        inputs={[states.join()]}
        draw={(painter, box) => drawKey(painter, theme.peek(), states, box)}
      />
    </div>
  );
}

/** From left to right; states that find no room are left out from the end. */
function drawKey(painter: Painter, theme: Theme, states: readonly number[], size: Size): void {
  const widths = states.map((state) => SAMPLE + 6 + textWidth(painter, theme, wordsOf(state)) + GAP);
  let shown = states.length;
  let total = widths.reduce((sum, width) => sum + width, 0) - GAP;
  while (shown > 0 && total > size.width) total -= widths[--shown]!;
  let x = 0;
  const y = HEIGHT / 2;
  for (const [index, state] of states.slice(0, shown).entries()) {
    drawLine(painter, theme, state, { left: x, right: x + SAMPLE, y, height: 8 }, 0.5);
    if (MARKED.includes(state)) drawTurn(painter, theme, state, x + 4, y, 3);
    write(painter, theme, wordsOf(state), x + SAMPLE + 6, y + 0.5, { color: theme.token['text-2'] });
    x += widths[index]!;
  }
}
