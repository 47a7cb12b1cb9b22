/** The heatmap of a statistic of all layers or parameters, with what both views need around it. */
import { type Signal, signal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { Heatmap, type HeatmapProps } from '../charts/heatmap/Heatmap';
import type { ValueScale } from '../charts/scale';
import { autoFold } from '../charts/scopes';
import type {
  Insets,
  LayerLabel,
  RowFlag,
  RowFrame,
  Selection,
  StatisticLabel,
  StepMark,
} from '../charts/types';
import type { Series } from '../data/types';
import { skips } from '../state/scaling';
import type { ExportRef } from './figure';
import { hover, labelOf, steps, toMatrix } from './page';
import { say } from './readout';

export interface LayerHeatmapProps {
  readonly title: string;
  readonly series: Series;
  readonly labels: readonly LayerLabel[];
  readonly scale: ValueScale;
  readonly rows: readonly number[];
  readonly selection: Selection;
  readonly onSelect: (change: Partial<Selection>) => void;
  readonly flags: readonly RowFlag[];
  readonly marks: readonly StepMark[];
  readonly insets: Insets;
  readonly tree: boolean;
  readonly exportRef: ExportRef;
  readonly frame?: Signal<RowFrame | null>;
  /** What is drawn, where the series is of no statistic of the catalogue. */
  readonly statistic?: StatisticLabel;
  readonly words?: HeatmapProps['words'];
  readonly table?: HeatmapProps['table'];
}

export function LayerHeatmap(props: LayerHeatmapProps) {
  const { series, labels, rows, selection, exportRef, frame } = props;
  const root = useRef<HTMLDivElement>(null);
  const height = useMemo(() => signal(0), []);
  const matrix = useMemo(() => toMatrix(series), [series]);
  const { folded, onFold } = useFolding(labels, rows, height.value - props.insets.top, selection.row);

  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => {
      height.value = entry?.contentRect.height ?? 0;
    });
    observer.observe(root.current!);
    return () => observer.disconnect();
  }, [height]);

  return (
    <div ref={root} class="fill">
      <Heatmap
        title={props.title}
        layers={labels}
        matrix={matrix}
        statistic={props.statistic ?? labelOf(series.statistic)}
        scale={props.scale}
        steps={steps}
        hover={hover}
        selection={selection}
        onSelect={props.onSelect}
        rows={rows}
        folded={folded}
        onFold={onFold}
        flags={props.flags}
        marks={props.marks}
        skips={skips.value}
        labels={props.tree ? 'tree' : 'compact'}
        fits={!props.tree}
        insets={props.insets}
        exportRef={exportRef}
        onReadout={say}
        words={props.words}
        table={props.table}
        empty={rows.length === 0 ? 'No layer passes the filter' : 'Nothing recorded yet'}
        {...(frame ? { frame } : {})}
      />
    </div>
  );
}

/** Scopes fold by themselves where rows would be too low to tell apart; what the reader folds or opens stays so. */
function useFolding(
  labels: readonly LayerLabel[],
  rows: readonly number[],
  height: number,
  selected: number | null,
) {
  const changed = useMemo(() => signal<ReadonlyMap<string, boolean>>(new Map()), []);
  const automatic = useMemo(
    () => autoFold(labels, rows, height, selected === null ? [] : [selected]),
    [labels, rows, height, selected],
  );
  const folded = useMemo(() => {
    const names = new Set(automatic);
    for (const [name, isFolded] of changed.value) isFolded ? names.add(name) : names.delete(name);
    return names;
  }, [automatic, changed.value]);
  const onFold = (scope: string) => {
    changed.value = new Map(changed.value).set(scope, !folded.has(scope));
  };
  return { folded, onFold };
}
