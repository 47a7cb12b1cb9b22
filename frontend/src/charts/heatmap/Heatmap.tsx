/** Layers over steps: one colour a cell, one mark for each kind of absence. */

import type { Signal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { CanvasLayer, useSize } from '../canvas';
import { encode } from '../codes';
import { placeColumns } from '../columns';
import { onStepKey } from '../keys';
import { layoutRows, rowAt, rowOf } from '../layout';
import { markPainted } from '../painted';
import { plotArea, type Size } from '../plot';
import { type Point, useStepPointer } from '../pointer';
import type { ValueScale } from '../scale';
import { CROSS, drawSkips, NO_SKIPS, withSkips } from '../skips';
import { pageTheme } from '../theme';
import type {
  ChartProps,
  Hover,
  Insets,
  LayerLabel,
  Matrix,
  OnSelect,
  Painter,
  RowFlag,
  RowFrame,
  Selection,
  Skip,
  StatisticLabel,
  StepDomain,
  StepMark,
  Table,
} from '../types';
import { visibleSteps } from '../zoom';
import { type CellImage, keptCells, paintImage } from './cellImage';
import { drawAxis, drawBox, drawCells, drawMarks, drawRemarks } from './drawCells';
import { drawLabels, NAME_LEFT } from './drawLabels';
import { drawOverlay, drawThumb } from './drawOverlay';
import { type CellWords, memberAt, type Scene } from './scene';
import { useScroll } from './scroll';
import { heatmapTable } from './table';
import { cellWords } from './words';

export interface HeatmapProps extends ChartProps {
  /** One a row of the matrix, in network order. */
  readonly layers: readonly LayerLabel[];
  readonly matrix: Matrix;
  readonly statistic: StatisticLabel;
  /** The same object for the legend; see `valueScale`. */
  readonly scale: ValueScale;
  readonly steps: StepDomain;
  readonly hover: Signal<Hover | null>;
  readonly selection: Selection;
  readonly onSelect: OnSelect;
  /** Rows of the matrix to show; by default all. */
  readonly rows?: readonly number[];
  /** Names of the folded scopes; see `autoFold`. */
  readonly folded: ReadonlySet<string>;
  readonly onFold: (scope: string) => void;
  readonly flags?: readonly RowFlag[];
  readonly marks?: readonly StepMark[];
  /** Steps that were left out. */
  readonly skips?: readonly Skip[];
  /** Whether all rows must be in view, so that nothing scrolls. */
  readonly fits?: boolean;
  /** A tree with fold arrows, or one narrow column of names. */
  readonly labels?: 'tree' | 'compact';
  readonly insets?: Insets;
  /** Told where the rows stand. */
  readonly frame?: Signal<RowFrame | null>;
  /** Says a cell's value in the place of its number. */
  readonly words?: CellWords | undefined;
  /** The numbers behind the picture, by default those of the matrix. */
  readonly table?: (() => Table) | undefined;
  /** What to say where there is nothing to draw. */
  readonly empty?: string;
}

export const HEATMAP_INSETS: Insets = { left: 224, right: 24, top: 24, bottom: 0 };
const NO_FLAGS: readonly RowFlag[] = [];
const NO_MARKS: readonly StepMark[] = [];

/** Draw the whole heatmap without what moves over it. */
function drawScene(painter: Painter, scene: Scene, bottomSpace: number, image: CellImage): void {
  drawCells(painter, scene, image);
  drawLabels(painter, scene);
  drawMarks(painter, scene);
  drawBox(painter, scene);
  drawRemarks(painter, scene);
  drawThumb(painter, scene);
  drawAxis(painter, scene, bottomSpace);
  drawSkips(painter, scene.theme, scene.plot, scene.domain, scene.skips, scene.plot.top - CROSS - 2);
}

export function Heatmap(props: HeatmapProps) {
  const { layers, matrix, scale, steps, hover, selection, folded, insets = HEATMAP_INSETS } = props;
  const root = useRef<HTMLDivElement>(null);
  const size = useSize(root);
  const theme = pageTheme();
  const codes = useMemo(() => encode(matrix, scale), [matrix, scale]);
  const columns = useMemo(() => placeColumns(matrix.steps, matrix.spans), [matrix]);
  const image = useMemo(keptCells, []);
  const plot = plotArea(size.value, insets);
  const height = plot.bottom - plot.top;
  const layoutIn = (space: number) =>
    layoutRows({
      layers,
      rows: props.rows,
      folded,
      height: space,
      selected: selection.row,
      fits: props.fits ?? false,
    });
  const layout = useMemo(
    () => layoutIn(height),
    [layers, props.rows, folded, height, selection.row, props.fits],
  );
  const { scroll, scroller, onScroll } = useScroll(layout, height, selection.row);

  const sceneIn = (box: Size, rows = layout, offset = scroll.value): Scene => ({
    theme: theme.value,
    ratio: box.ratio,
    width: box.width,
    plot: plotArea(box, insets),
    domain: visibleSteps(steps),
    layout: rows,
    scroll: offset,
    layers,
    matrix,
    statistic: props.statistic,
    scale,
    codes,
    columns,
    selection,
    flags: props.flags ?? NO_FLAGS,
    marks: props.marks ?? NO_MARKS,
    skips: props.skips ?? NO_SKIPS,
    labels: props.labels ?? 'tree',
    words: props.words,
    empty: props.empty ?? 'Nothing recorded yet',
  });

  /** What is under the pointer: a visible row at a step. */
  const locate = ({ x, y, step, inside }: Point) => {
    const index = y >= plot.top && y < plot.bottom ? rowAt(layout, y - plot.top + scroll.peek()) : -1;
    return { row: layout.rows[index], step: Math.round(step), inside, fold: !inside && x < plot.left };
  };
  const pointer = useStepPointer({
    root,
    steps,
    plot: () => plot,
    onHover(point) {
      const { row, step, inside } = point ? locate(point) : { row: undefined, step: 0, inside: false };
      const scene = sceneIn(size.peek());
      hover.value =
        inside && row ? { step, row: memberAt(scene, row, step) } : inside ? { step, row: null } : null;
      if (row && inside) props.onReadout?.(cellWords(scene, row, step));
    },
    onClick(point) {
      const { row, step, inside, fold } = locate(point);
      if (!row) return;
      const scope = layout.scopes[row.scope]!;
      const first = scope.members[0] === row.members[0];
      if (fold && scope.foldable && first && point.x < NAME_LEFT) props.onFold(scope.name);
      else if (inside) props.onSelect({ row: memberAt(sceneIn(size.peek()), row, step), step });
      else if (fold) props.onSelect({ row: row.members[0]! });
    },
  });

  const rowBy = (by: number): number | null => {
    const from = rowOf(layout, selection.row);
    const index = Math.min(layout.rows.length - 1, Math.max(0, from + (from < 0 && by < 0 ? 0 : by)));
    return layout.rows[index]?.members.at(by < 0 ? -1 : 0) ?? null;
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const scope = layout.scopes[layout.rows[rowOf(layout, selection.row)]?.scope ?? -1];
    if (event.key === 'Enter' && scope?.foldable) props.onFold(scope.name);
    else onStepKey(event, { columns, selection, steps, hover, onSelect: props.onSelect, rowBy });
  };

  useEffect(() => {
    if (props.frame) props.frame.value = { layout, top: plot.top, height, scroll: scroll.value };
    return props.frame && scroll.subscribe((offset) => follow(props.frame!, offset));
  }, [props.frame, layout, plot.top, height, scroll]);

  useEffect(() => {
    const row = layout.rows[rowOf(layout, selection.row)];
    if (row && selection.step !== null)
      props.onReadout?.(cellWords(sceneIn(size.peek()), row, selection.step));
  }, [selection.row, selection.step]);

  useEffect(() => {
    if (!props.exportRef) return;
    props.exportRef.current = {
      name: props.title,
      ...size.peek(),
      draw(painter, width, space) {
        const box = { width, height: space, ratio: 2 };
        const room = plotArea(box, insets);
        const scene = sceneIn(box, layoutIn(room.bottom - room.top), 0);
        drawScene(painter, scene, insets.bottom, paintImage);
        drawOverlay(painter, scene, null, null);
      },
      table: () =>
        withSkips(
          props.table?.() ?? heatmapTable(layers, matrix, columns, props.rows),
          columns.last,
          props.skips ?? NO_SKIPS,
        ),
    };
  });

  const everything = [theme, steps.zoom, steps.extent, scroll] as const;
  return (
    <div
      ref={root}
      class="chart"
      role="application"
      aria-roledescription="heatmap"
      aria-label={`${props.title}: ${layers.length} layers, ${columns.length} records. Arrows move, Enter folds, Escape resets the zoom.`}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: one stop of the tab key, moved through with the arrows
      tabIndex={0}
      onKeyDown={onKeyDown}
      {...pointer.handlers}
    >
      <CanvasLayer
        size={size}
        watch={everything}
        inputs={[
          codes,
          layers,
          layout,
          selection.row,
          props.flags,
          marksKey(props.marks),
          props.skips,
          props.empty,
          insets,
        ]}
        draw={(painter, box) => {
          drawScene(painter, sceneIn(box), insets.bottom, image);
          if (matrix.rows > 0 && columns.length > 0) markPainted();
        }}
      />
      <CanvasLayer
        size={size}
        watch={[...everything, hover, pointer.brush]}
        draw={(painter, box) => drawOverlay(painter, sceneIn(box), hover.peek(), pointer.brush.peek())}
      />
      <div
        ref={scroller}
        class="chart-scroller"
        style={{ top: `${plot.top}px`, bottom: `${insets.bottom}px` }}
        onScroll={onScroll}
        tabIndex={-1}
      >
        <div style={{ height: `${layout.height}px` }} />
      </div>
    </div>
  );
}

function follow(frame: Signal<RowFrame | null>, scroll: number): void {
  const held = frame.peek();
  if (held && held.scroll !== scroll) frame.value = { ...held, scroll };
}

/** Marks by what they look like: the same ones need no other drawing. */
function marksKey(marks: readonly StepMark[] = NO_MARKS): string {
  return marks.map(({ step, severity }) => `${step} ${severity}`).join();
}
