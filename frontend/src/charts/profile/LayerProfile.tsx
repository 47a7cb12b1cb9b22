/** All layers at one step, in the rows of a heatmap beside it or in its own. */

import type { ReadonlySignal, Signal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { CanvasLayer, useSize } from '../canvas';
import { drawLabels } from '../heatmap/drawLabels';
import { rowTop } from '../heatmap/scene';
import { useScroll } from '../heatmap/scroll';
import { layoutRows, rowAt, rowOf } from '../layout';
import { MARK_WORDS } from '../marks';
import { formatValue } from '../numbers';
import { plotArea, type Size } from '../plot';
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
} from '../types';
import { drawProfile, type ProfileScene } from './drawProfile';
import { MAGNITUDES, type ProfileKind } from './kinds';
import { profileTable } from './table';
import { recordOf } from './values';

export interface LayerProfileProps extends ChartProps {
  readonly layers: readonly LayerLabel[];
  /** What is drawn of them; by default mean and largest magnitude. */
  readonly kind?: ProfileKind;
  /** The mean and how far it reaches, by `kind`: largest magnitude, or standard deviation. */
  readonly mean: Matrix;
  readonly reach: Matrix;
  /** The step that is shown. */
  readonly step: number | null;
  readonly hover: Signal<Hover | null>;
  readonly selection: Selection;
  readonly onSelect: OnSelect;
  /** Rows of the heatmap beside it; without them the profile has rows and names of its own. */
  readonly frame?: ReadonlySignal<RowFrame | null>;
  readonly rows?: readonly number[];
  readonly folded?: ReadonlySet<string>;
  /** [R] A tick for each row, such as the median of its own past (`medianBefore`). */
  readonly reference?: ArrayLike<number>;
  readonly flags?: readonly RowFlag[];
  readonly insets?: Insets;
  readonly empty?: string;
}

const BESIDE: Insets = { left: 8, right: 12, top: 24, bottom: 0 };
const ALONE: Insets = { left: 200, right: 16, top: 24, bottom: 0 };
const NOTHING_FOLDED: ReadonlySet<string> = new Set();
const NO_FLAGS: readonly RowFlag[] = [];

export function LayerProfile(props: LayerProfileProps) {
  const { layers, kind = MAGNITUDES, mean, reach, step, hover, selection, folded = NOTHING_FOLDED } = props;
  const root = useRef<HTMLDivElement>(null);
  const size = useSize(root);
  const theme = pageTheme();
  const insets = props.insets ?? (props.frame ? BESIDE : ALONE);
  const frame = props.frame?.value ?? null;
  const space = plotArea(size.value, insets);
  const plot = frame ? { ...space, top: frame.top, bottom: frame.top + frame.height } : space;
  const height = plot.bottom - plot.top;
  const layoutIn = (room: number) =>
    layoutRows({ layers, rows: props.rows, folded, height: room, selected: selection.row });
  const own = useMemo(() => layoutIn(height), [layers, props.rows, folded, height, selection.row]);
  const layout = frame?.layout ?? own;
  const { scroll, scroller, onScroll } = useScroll(layout, height, frame ? null : selection.row);
  const offset = () => frame?.scroll ?? scroll.value;
  const scale = useMemo(() => kind.scaleOf(mean, reach), [kind, mean, reach]);
  const records = useMemo(
    () =>
      step === null ? { mean: -1, reach: -1 } : { mean: recordOf(mean, step), reach: recordOf(reach, step) },
    [mean, reach, step],
  );

  const scene = (box: Pick<Size, 'width'>): ProfileScene => ({
    theme: theme.value,
    width: box.width,
    plot: { ...plot, right: Math.max(plot.left + 1, box.width - insets.right) },
    layout,
    scroll: offset(),
    layers,
    selection,
    flags: props.flags ?? NO_FLAGS,
    labels: 'compact',
    kind,
    mean,
    reach,
    records,
    scale,
    reference: props.reference ?? null,
    empty: props.empty ?? 'Nothing recorded yet',
  });
  const draw = (painter: Painter, current: ProfileScene) => {
    drawProfile(painter, current);
    if (!props.frame) drawLabels(painter, current);
  };
  const words = (row: number) => {
    const say = (matrix: Matrix, record: number) => {
      const one = kind.read(matrix, row, record);
      return typeof one === 'number' ? formatValue(one) : MARK_WORDS[one];
    };
    const [first, second] = kind.names;
    return `${layers[row]?.name ?? ''} · ${first} ${say(mean, records.mean)} · ${second} ${say(reach, records.reach)}`;
  };

  const rowUnder = (event: MouseEvent) => {
    const y = event.clientY - root.current!.getBoundingClientRect().top - plot.top;
    return y >= 0 && y < height
      ? layout.rows[rowAt(layout, y + (frame?.scroll ?? scroll.peek()))]
      : undefined;
  };
  const moveBy = (by: number) => {
    const index = Math.min(layout.rows.length - 1, Math.max(0, rowOf(layout, selection.row) + by));
    const row = layout.rows[index]?.members[0];
    if (row !== undefined) props.onSelect({ row });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (by === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    moveBy(event.shiftKey ? by * 10 : by);
    event.preventDefault();
    event.stopPropagation();
  };
  useEffect(() => {
    if (selection.row !== null && root.current === document.activeElement)
      props.onReadout?.(words(selection.row));
  }, [selection.row]);
  useEffect(() => {
    if (!props.exportRef) return;
    props.exportRef.current = {
      name: props.title,
      ...size.peek(),
      draw(painter, width, room) {
        const area = plotArea({ width, height: room }, { ...ALONE, right: insets.right });
        const rows = layoutRows({
          layers,
          rows: props.rows,
          folded,
          height: area.bottom - area.top,
          selected: selection.row,
        });
        const paper = { ...scene({ width }), plot: area, layout: rows, scroll: 0 };
        drawProfile(painter, paper);
        drawLabels(painter, paper);
      },
      table: () => profileTable(layers, kind, mean, reach, records, props.rows),
    };
  });

  return (
    <div
      ref={root}
      class="chart"
      role="application"
      aria-roledescription="profile"
      aria-label={`${props.title}: ${kind.names.join(' and ')} of ${layers.length} layers. Up and down arrows move the layer.`}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: one stop of the tab key, moved through with the arrows
      tabIndex={0}
      onKeyDown={onKeyDown}
      onPointerMove={(event) => {
        const row = rowUnder(event);
        hover.value = row && step !== null ? { step, row: row.members[0]! } : null;
        if (row) props.onReadout?.(words(row.members[0]!));
      }}
      onPointerLeave={() => {
        hover.value = null;
      }}
      onClick={(event) => {
        const row = rowUnder(event);
        if (row) props.onSelect({ row: row.members[0]! });
      }}
    >
      <CanvasLayer size={size} watch={[theme, scroll]} draw={(painter, box) => draw(painter, scene(box))} />
      <CanvasLayer
        size={size}
        watch={[theme, scroll, hover]}
        draw={(painter, box) => drawHover(painter, scene(box), hover.peek())}
      />
      {!props.frame && (
        <div
          ref={scroller}
          class="chart-scroller"
          style={{ top: `${plot.top}px` }}
          onScroll={onScroll}
          tabIndex={-1}
        >
          <div style={{ height: `${layout.height}px` }} />
        </div>
      )}
    </div>
  );
}

function drawHover(painter: Painter, scene: ProfileScene, hover: Hover | null): void {
  const row = scene.layout.rows[rowOf(scene.layout, hover?.row ?? null)];
  if (!row) return;
  painter.strokeStyle = scene.theme.token.cursor;
  painter.lineWidth = 1;
  const { left, right } = scene.plot;
  painter.strokeRect(left - 4.5, rowTop(scene, row) - 0.5, right - left + 9, row.height + 1);
}
