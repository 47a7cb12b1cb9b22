/** What the pages of the harness share: linked state, as the app holds it, and boxes for charts. */

import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useMemo } from 'preact/hooks';
import { stepExtent } from '../columns';
import { Heatmap, type HeatmapProps } from '../heatmap/Heatmap';
import { valueScale } from '../scale';
import type { Domain, Hover, LayerLabel, Matrix, RowFrame, Selection } from '../types';

export const NORM = { label: 'Gradient norm', unit: '', scale: 'log' } as const;
export const INSETS = { left: 224, right: 140, top: 28, bottom: 0 };
/** Last step of the runs. */
export const LAST = 4999;

/** Linked state, as the app holds it. */
export function useLinked(matrix: Matrix, at: Selection, folded: Iterable<string> = []) {
  return useMemo(() => {
    const selection = signal(at);
    const closed = signal<ReadonlySet<string>>(new Set(folded));
    return {
      steps: { extent: signal(stepExtent(matrix.steps, matrix.spans)), zoom: signal<Domain | null>(null) },
      hover: signal<Hover | null>(null),
      frame: signal<RowFrame | null>(null),
      words: signal(''),
      selection,
      folded: closed,
      onSelect: (change: Partial<Selection>) => {
        selection.value = { ...selection.value, ...change };
      },
      onFold: (scope: string) => {
        const next = new Set(closed.value);
        if (!next.delete(scope)) next.add(scope);
        closed.value = next;
      },
    };
  }, []);
}

export function Box({
  height,
  width,
  children,
}: {
  height: number;
  width?: number;
  children: ComponentChildren;
}) {
  const flex = width ? { flex: 'none', width: `${width}px` } : {};
  return (
    <div class="box" style={{ height: `${height}px`, ...flex }}>
      {children}
    </div>
  );
}

interface FixtureProps extends Partial<HeatmapProps> {
  readonly layers: readonly LayerLabel[];
  readonly matrix: Matrix;
  readonly height: number;
  readonly at?: Selection;
  readonly closed?: Iterable<string>;
}

export function Fixture({ height, at = { row: null, step: null }, closed, ...props }: FixtureProps) {
  const { selection, folded, words: _words, frame: _frame, ...linked } = useLinked(props.matrix, at, closed);
  const scale = useMemo(() => valueScale('log', [props.matrix]), []);
  return (
    <Box height={height}>
      <Heatmap
        title="Gradient norm"
        statistic={NORM}
        scale={scale}
        insets={{ ...INSETS, bottom: 24 }}
        selection={selection.value}
        folded={folded.value}
        {...linked}
        {...props}
      />
    </Box>
  );
}
