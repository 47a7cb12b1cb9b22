/** Units over steps: when each fired, fell silent and came back. */

import { type Signal, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { CanvasLayer, useSize } from '../canvas';
import { type Columns, nearestRecord } from '../columns';
import { offsetFor } from '../heatmap/scroll';
import { onStepKey } from '../keys';
import { formatSteps } from '../numbers';
import { chip, cursorLine } from '../paint';
import { plotArea, type Size, xOf } from '../plot';
import { useStepPointer } from '../pointer';
import { pageTheme } from '../theme';
import type { ChartProps, Domain, Hover, Insets, OnSelect, Painter, Selection, StepDomain } from '../types';
import { visibleSteps } from '../zoom';
import { drawLifeAxis, drawLives } from './drawLives';
import { lifeWords, type TwinMark, type UnitLife } from './life';
import { type LifeScene, lifeAt, lifeRows, lifeTop, livesBottom, rowsInView } from './scene';
import { livesTable } from './table';

export interface LifeLinesProps extends ChartProps {
  /** Rows that there are, whether they have been fetched or not. */
  readonly total: number;
  /** The unit in a row, or null while it is fetched; another function for other data. */
  readonly life: (row: number) => UnitLife | null;
  /** Fetches the units of the first so many rows, for a file. */
  readonly fetchLives: (count: number) => Promise<readonly UnitLife[]>;
  /** What the states of a unit are called, by their codes. */
  readonly names: readonly string[];
  /** Units that are like another one. */
  readonly twins: ReadonlyMap<number, TwinMark>;
  /** Records that the step moves through. */
  readonly columns: Columns;
  readonly steps: StepDomain;
  readonly hover: Signal<Hover | null>;
  readonly selection: Selection;
  /** Another value brings the selected row into view; with the same one a row that moves is not followed. */
  readonly reveal: string;
  readonly onSelect: OnSelect;
  /** Told which rows come into view: the first, and the one after the last. */
  readonly onRows: (from: number, to: number) => void;
  readonly insets?: Insets;
  readonly empty?: string;
}

const INSETS: Insets = { left: 132, right: 132, top: 8, bottom: 0 };
const CHIP = 18;
/** Lines of a table in a file: more than these no spreadsheet opens. */
const LONGEST = 1_000_000;

export function LifeLines(props: LifeLinesProps) {
  const { total, life, names, twins, columns, steps, hover, selection, onRows, insets = INSETS } = props;
  const root = useRef<HTMLDivElement>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const scroll = useSignal(0);
  const size = useSize(root);
  const theme = pageTheme();
  const plot = plotArea(size.value, insets);
  const height = plot.bottom - plot.top;
  const rows = lifeRows(total, height);
  const farthest = Math.max(0, rows.content - height);

  const sceneIn = (box: Size, offset = scroll.value): LifeScene => {
    const area = plotArea(box, insets);
    return {
      theme: theme.value,
      width: box.width,
      plot: area,
      domain: visibleSteps(steps),
      rows: lifeRows(total, area.bottom - area.top),
      scroll: offset,
      total,
      life,
      names,
      twins,
      selection,
      empty: props.empty ?? 'Nothing recorded yet',
    };
  };
  const place = (offset: number) => {
    scroll.value = Math.min(farthest, Math.max(0, offset));
  };
  const revealed = useRef<unknown>(null);
  useEffect(() => {
    const hidden = revealed.current !== props.reveal && selection.row !== null && height > 0;
    if (hidden) revealed.current = props.reveal;
    place(
      hidden ? offsetFor(scroll.peek(), selection.row! * rows.height, rows.height, height) : scroll.peek(),
    );
    if (scroller.current) scroller.current.scrollTop = scroll.peek();
  }, [selection.row, props.reveal, rows.height, height, farthest]);
  const [from, to] = rowsInView({ plot, rows, scroll: scroll.value, total });
  useEffect(() => onRows(from, to), [from, to, onRows]);

  const wordsAt = (row: number, step: number): string => {
    const one = life(row);
    if (one === null) return 'Being fetched';
    const words = lifeWords(one, nearestRecord(one.columns, step), names);
    const twin = twins.get(one.unit);
    return twin === undefined ? words : `${words} · ${twin.words}`;
  };
  const pointer = useStepPointer({
    root,
    steps,
    plot: () => plot,
    onHover(point) {
      const row = point ? lifeAt(sceneIn(size.peek()), point.y) : -1;
      if (!point?.inside) hover.value = null;
      else hover.value = { step: Math.round(point.step), row: row < 0 ? null : row };
      if (point?.inside && row >= 0) props.onReadout?.(wordsAt(row, point.step));
    },
    onClick(point) {
      const row = lifeAt(sceneIn(size.peek()), point.y);
      if (row < 0) return;
      props.onSelect(point.inside ? { row, step: Math.round(point.step) } : { row });
    },
  });
  const rowBy = (by: number): number | null => {
    if (total === 0) return null;
    const start = selection.row ?? (by > 0 ? -1 : total);
    return Math.min(total - 1, Math.max(0, start + by));
  };
  const onKeyDown = (event: KeyboardEvent) =>
    onStepKey(event, { columns, selection, steps, hover, onSelect: props.onSelect, rowBy });

  useEffect(() => {
    if (selection.row !== null && selection.step !== null && root.current === document.activeElement)
      props.onReadout?.(wordsAt(selection.row, selection.step));
  }, [selection.row, selection.step]);
  const table = () =>
    livesTable(
      Array.from({ length: total }, (_, row) => life(row)).filter((one) => one !== null),
      names,
      total,
    );
  useEffect(() => {
    if (!props.exportRef) return;
    props.exportRef.current = {
      name: props.title,
      ...size.peek(),
      draw(painter, width, space) {
        const scene = sceneIn({ width, height: space, ratio: 2 });
        drawLives(painter, scene);
        drawLifeAxis(painter, scene, insets.bottom);
        drawOverlay(painter, scene, null, null, wordsAt);
      },
      table,
      async wholeTable() {
        const count = Math.min(total, Math.floor(LONGEST / Math.max(1, columns.length)));
        try {
          return livesTable(await props.fetchLives(count), names, total);
        } catch {
          return table();
        }
      },
    };
  });

  const everything = [theme, steps.zoom, steps.extent, scroll] as const;
  return (
    <div
      ref={root}
      class="chart"
      role="application"
      aria-roledescription="life lines"
      aria-label={`${props.title}: ${total} units, ${columns.length} records. Arrows move the unit and the step.`}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: one stop of the tab key, moved through with the arrows
      tabIndex={0}
      onKeyDown={onKeyDown}
      {...pointer.handlers}
    >
      <CanvasLayer
        size={size}
        watch={everything}
        inputs={[life, total, names, twins, selection.row, props.empty, insets]}
        draw={(painter, box) => {
          const scene = sceneIn(box);
          drawLives(painter, scene);
          drawLifeAxis(painter, scene, insets.bottom);
        }}
      />
      <CanvasLayer
        size={size}
        watch={[...everything, hover, pointer.brush]}
        draw={(painter, box) =>
          drawOverlay(painter, sceneIn(box), hover.peek(), pointer.brush.peek(), wordsAt)
        }
      />
      <div
        ref={scroller}
        class="chart-scroller"
        style={{ top: `${plot.top}px`, bottom: `${insets.bottom}px` }}
        onScroll={() => place(scroller.current?.scrollTop ?? 0)}
        tabIndex={-1}
      >
        <div style={{ height: `${rows.content}px` }} />
      </div>
    </div>
  );
}

/** The cursor, the row under the pointer with its words, the stretch to zoom into. */
function drawOverlay(
  painter: Painter,
  scene: LifeScene,
  hover: Hover | null,
  brush: Domain | null,
  words: (row: number, step: number) => string,
): void {
  const { plot, domain, theme, selection, rows } = scene;
  const bottom = livesBottom(scene);
  const line = (step: number) => {
    if (step >= domain[0] && step <= domain[1])
      cursorLine(painter, theme, xOf(plot, domain, step), plot.top, bottom, true);
  };
  if (selection.step !== null) line(selection.step);
  if (brush) {
    const [left, right] = [xOf(plot, domain, brush[0]), xOf(plot, domain, brush[1])];
    painter.fillStyle = theme.token['cursor-halo'];
    painter.globalAlpha = 0.45;
    painter.fillRect(left, plot.top, right - left, bottom - plot.top);
    painter.globalAlpha = 1;
    return;
  }
  if (!hover) return;
  line(hover.step);
  if (hover.row === null || hover.row >= scene.total) return;
  const top = lifeTop(scene, hover.row);
  painter.setLineDash([]);
  painter.strokeStyle = theme.token.cursor;
  painter.lineWidth = 1;
  painter.strokeRect(plot.left - 0.5, top - 0.5, plot.right - plot.left + 1, Math.round(rows.height) + 1);
  const above = top - CHIP - 6;
  const y = above >= plot.top ? above : Math.min(top + rows.height + 6, plot.bottom - CHIP);
  const text = words(hover.row, hover.step) || formatSteps(hover.step);
  chip(painter, theme, text, xOf(plot, domain, hover.step), y, plot.left, plot.right);
}
