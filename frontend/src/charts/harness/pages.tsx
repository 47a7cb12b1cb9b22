/** Pages of the harness. */

import { type ReadonlySignal, signal } from '@preact/signals';
import type { FunctionComponent } from 'preact';
import { useMemo } from 'preact/hooks';
import { stepExtent } from '../columns';
import { Heatmap } from '../heatmap/Heatmap';
import { valueScale } from '../scale';
import type { Domain, Hover, LayerLabel, Matrix, RowFlag, Selection, StepMark } from '../types';
import { STATE } from '../types';
import { blockNames, dyingNetwork, uniformMatrix } from './data';

const NORM = { label: 'Gradient norm', unit: '', scale: 'log' } as const;
const INSETS = { left: 224, right: 140, top: 28, bottom: 24 };

interface FixtureProps {
  readonly layers: readonly LayerLabel[];
  readonly matrix: Matrix;
  readonly height: number;
  readonly flags?: readonly RowFlag[];
  readonly marks?: readonly StepMark[];
  readonly labels?: 'tree' | 'compact';
  readonly at?: Selection;
  readonly folded?: readonly string[];
}

function Fixture({
  layers,
  matrix,
  height,
  labels = 'tree',
  flags = [],
  marks = [],
  at,
  folded: closed = [],
}: FixtureProps) {
  const [state] = useMemo(
    () => [
      {
        steps: {
          extent: signal(stepExtent(matrix.steps, matrix.spans)) as ReadonlySignal<Domain>,
          zoom: signal<Domain | null>(null),
        },
        hover: signal<Hover | null>(null),
        selection: signal<Selection>(at ?? { row: null, step: null }),
        folded: signal<ReadonlySet<string>>(new Set(closed)),
        scale: valueScale('log', [matrix]),
      },
    ],
    [],
  );
  const toggle = (scope: string) => {
    const next = new Set(state.folded.value);
    if (!next.delete(scope)) next.add(scope);
    state.folded.value = next;
  };
  return (
    <div class="box" style={{ height: `${height}px` }}>
      <Heatmap
        title="Gradient norm"
        layers={layers}
        matrix={matrix}
        statistic={NORM}
        scale={state.scale}
        steps={state.steps}
        hover={state.hover}
        selection={state.selection.value}
        onSelect={(change) => {
          state.selection.value = { ...state.selection.value, ...change };
        }}
        folded={state.folded.value}
        onFold={toggle}
        flags={flags}
        marks={marks}
        labels={labels}
        insets={INSETS}
      />
    </div>
  );
}

function Overview() {
  const layers = useMemo(() => blockNames(12, 3), []);
  const matrix = useMemo(() => dyingNetwork(layers.length, 4999, 11, 811), []);
  return (
    <Fixture
      layers={layers}
      matrix={matrix}
      height={620}
      flags={[
        { row: 11, severity: 'critical', remark: '61 of 64 units dead' },
        { row: 24, severity: 'warning', remark: 'NaN starts here' },
      ]}
      marks={[{ step: 812, label: '812', severity: 'critical' }]}
      at={{ row: 11, step: 1240 }}
      folded={['blocks.9', 'blocks.10', 'blocks.11']}
    />
  );
}

function Edges() {
  const one: LayerLabel[] = [{ name: 'fc' }];
  const five = ['a', 'b', 'c', 'd', 'e'].map((leaf) => ({
    name: `<img src=x onerror=alert(1)>.${leaf.repeat(300)}\n`,
  }));
  return (
    <>
      <Fixture layers={one} matrix={uniformMatrix(1, 1, 0.01)} height={100} at={{ row: 0, step: 0 }} />
      <Fixture layers={five} matrix={uniformMatrix(5, 1, 0)} height={140} labels="compact" />
      <Fixture layers={five} matrix={uniformMatrix(5, 40, 0)} height={140} />
      <Fixture layers={five} matrix={uniformMatrix(5, 40, Number.NaN, STATE.nonfinite)} height={140} />
      <Fixture layers={five} matrix={uniformMatrix(5, 40, Number.NaN, STATE.noGradient)} height={140} />
      <Fixture layers={five} matrix={uniformMatrix(5, 40, Number.NaN, STATE.notRecorded)} height={140} />
      <Fixture layers={[]} matrix={uniformMatrix(0, 0, 0)} height={120} />
    </>
  );
}

function Huge() {
  const layers = useMemo(() => blockNames(200, 10).slice(0, 2000), []);
  const matrix = useMemo(() => dyingNetwork(layers.length, 100_000, 700, 8000), []);
  return <Fixture layers={layers} matrix={matrix} height={700} at={{ row: 700, step: 8010 }} />;
}

export const pages: Record<string, FunctionComponent> = { overview: Overview, edges: Edges, huge: Huge };
