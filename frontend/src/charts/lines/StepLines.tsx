/** Curves over steps: losses, norms, rates, or one statistic of a layer. */

import type { Signal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { CanvasLayer, useSize } from '../canvas';
import type { Columns } from '../columns';
import { onStepKey } from '../keys';
import { plotArea, type Size } from '../plot';
import { useStepPointer } from '../pointer';
import { drawSkips, NO_SKIPS } from '../skips';
import { pageTheme } from '../theme';
import type {
  ChartProps,
  Domain,
  Hover,
  Insets,
  Level,
  OnSelect,
  Painter,
  ScaleKind,
  Selection,
  Series,
  Skip,
  StepDomain,
  StepMark,
} from '../types';
import { visibleSteps } from '../zoom';
import { drawFrame, drawNames } from './drawFrame';
import { drawLevels, drawLines, drawMarks } from './drawLines';
import { drawChip, drawOverlay, readout } from './drawOverlay';
import { axisFor, type LineScene, placeLines } from './scene';
import { linesTable } from './table';

export interface StepLinesProps extends ChartProps {
  readonly series: readonly Series[];
  readonly scale: ScaleKind;
  readonly steps: StepDomain;
  readonly hover: Signal<Hover | null>;
  readonly selection: Selection;
  readonly onSelect: OnSelect;
  /** Records that the arrows move through; by default those of the longest curve. */
  readonly records?: Columns;
  readonly levels?: readonly Level[];
  readonly marks?: readonly StepMark[];
  /** Steps that were left out. */
  readonly skips?: readonly Skip[];
  /** Whether steps are written below; the lowest strip has them. */
  readonly axis?: boolean;
  /** Whether the axis holds every spike, where these are what one looks for. */
  readonly spikes?: boolean;
  readonly insets?: Insets;
  readonly empty?: string;
}

export const LINES_INSETS: Insets = { left: 48, right: 96, top: 12, bottom: 24 };
const NO_LEVELS: readonly Level[] = [];
const NO_MARKS: readonly StepMark[] = [];

function drawScene(painter: Painter, scene: LineScene): void {
  drawFrame(painter, scene);
  drawLines(painter, scene);
  drawMarks(painter, scene);
  drawLevels(painter, scene);
  drawNames(painter, scene);
  drawSkips(painter, scene.theme, scene.plot, scene.domain, scene.skips, scene.plot.bottom);
}

export function StepLines(props: StepLinesProps) {
  const { series, steps, hover, selection, insets = LINES_INSETS, levels = NO_LEVELS } = props;
  const root = useRef<HTMLDivElement>(null);
  const over = useRef(false);
  const size = useSize(root);
  const theme = pageTheme();
  const columns = useMemo(() => placeLines(series), [series]);
  const axis = useMemo(() => {
    let made: { domain: Domain; scale: LineScene['scale'] } | null = null;
    return (domain: Domain) => {
      if (made?.domain !== domain)
        made = { domain, scale: axisFor(props.scale, series, columns, domain, levels, props.spikes) };
      return made.scale;
    };
  }, [props.scale, series, columns, levels, props.spikes]);

  const sceneIn = (box: Size): LineScene => {
    const domain = visibleSteps(steps);
    return {
      theme: theme.value,
      width: box.width,
      ratio: box.ratio,
      plot: plotArea(box, insets),
      domain,
      scale: axis(domain),
      lines: series.map((one, index) => ({
        series: one,
        columns: columns[index]!,
        color: one.color ?? theme.value.token['run-1'],
      })),
      levels,
      marks: props.marks ?? NO_MARKS,
      skips: props.skips ?? NO_SKIPS,
      selection,
      axis: props.axis ?? true,
      empty: props.empty ?? 'Nothing recorded yet',
    };
  };

  const pointer = useStepPointer({
    root,
    steps,
    plot: () => plotArea(size.peek(), insets),
    onHover(point) {
      over.current = point?.inside ?? false;
      hover.value = point?.inside ? { step: Math.round(point.step), row: null } : null;
      if (point?.inside) props.onReadout?.(`${props.title}: ${readout(sceneIn(size.peek()), point.step)}`);
    },
    onClick(point) {
      if (point.inside) props.onSelect({ step: Math.round(point.step) });
    },
  });
  const onKeyDown = (event: KeyboardEvent) => {
    const longest = columns.reduce(
      (a, b) => (b.length > a.length ? b : a),
      columns[0] ?? placeLines([EMPTY])[0]!,
    );
    onStepKey(event, {
      columns: props.records ?? longest,
      selection,
      steps,
      hover,
      onSelect: props.onSelect,
      rowBy: () => null,
    });
  };

  useEffect(() => {
    if (selection.step !== null && root.current === document.activeElement)
      props.onReadout?.(`${props.title}: ${readout(sceneIn(size.peek()), selection.step)}`);
  }, [selection.step]);
  useEffect(() => {
    if (!props.exportRef) return;
    props.exportRef.current = {
      name: props.title,
      ...size.peek(),
      draw(painter, width, height) {
        const scene = sceneIn({ width, height, ratio: 2 });
        drawScene(painter, scene);
        drawOverlay(painter, scene, null, null);
      },
      table: () => linesTable(series, props.skips),
    };
  });

  const everything = [theme, steps.zoom, steps.extent] as const;
  return (
    <div
      ref={root}
      class="chart"
      role="application"
      aria-roledescription="line chart"
      aria-label={`${props.title}: ${series.length} curves over steps. Left and right arrows move the step.`}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: one stop of the tab key, moved through with the arrows
      tabIndex={0}
      onKeyDown={onKeyDown}
      {...pointer.handlers}
    >
      <CanvasLayer
        size={size}
        watch={everything}
        inputs={[
          axis,
          series,
          props.marks,
          props.skips,
          props.axis,
          props.empty,
          insets.left,
          insets.right,
          insets.top,
          insets.bottom,
        ]}
        draw={(painter, box) => drawScene(painter, sceneIn(box))}
      />
      <CanvasLayer
        size={size}
        watch={[...everything, hover, pointer.brush]}
        draw={(painter, box) => {
          const scene = sceneIn(box);
          drawOverlay(painter, scene, hover.peek(), pointer.brush.peek());
          if (over.current && hover.peek()) drawChip(painter, scene, hover.peek()!.step);
        }}
      />
    </div>
  );
}

const EMPTY: Series = { label: '', steps: new Float64Array(), spans: new Float64Array(), values: [] };
