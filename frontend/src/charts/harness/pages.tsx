/** Pages of the harness: the charts together, and awkward shapes alone. */

import { signal } from '@preact/signals';
import type { ComponentChildren, FunctionComponent } from 'preact';
import { useMemo } from 'preact/hooks';
import { ColorLegend } from '../ColorLegend';
import { stepExtent } from '../columns';
import { DataTable } from '../DataTable';
import { Distribution } from '../distribution/Distribution';
import { saveCsv, savePng, saveSvg } from '../exports';
import { Heatmap, type HeatmapProps } from '../heatmap/Heatmap';
import { StepLines } from '../lines/StepLines';
import { LayerProfile } from '../profile/LayerProfile';
import { medianBefore } from '../profile/values';
import { valueScale } from '../scale';
import { autoFold } from '../scopes';
import {
  type Domain,
  type Exportable,
  type Hover,
  type LayerLabel,
  type Matrix,
  type RowFrame,
  type Selection,
  STATE,
} from '../types';
import { BINS, blockNames, counts, dyingNetwork, metric, plain, scaled, uniformMatrix } from './data';

const NORM = { label: 'Gradient norm', unit: '', scale: 'log' } as const;
const INSETS = { left: 224, right: 140, top: 28, bottom: 0 };

/** Linked state, as the app holds it. */
function useLinked(matrix: Matrix, at: Selection, folded: Iterable<string> = []) {
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

function Box({ height, width, children }: { height: number; width?: number; children: ComponentChildren }) {
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

function Fixture({ height, at = { row: null, step: null }, closed, ...props }: FixtureProps) {
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

const exported: { current: Exportable | null } = { current: null };
const LAST = 4999;
/** 300 layers, 1,000 records of one step each. */
const LARGE = dyingNetwork(300, 999, 30, 400, plain(1000));

function Flow() {
  const layers = useMemo(() => blockNames(12, 3), []);
  const matrix = useMemo(() => dyingNetwork(layers.length, LAST, 11, 811), []);
  const [mean, max] = useMemo(() => [scaled(matrix, 1e-2), scaled(matrix, 0.3)], []);
  const { selection, folded, words, frame, ...linked } = useLinked(matrix, { row: 11, step: 1240 }, [
    'blocks.9',
    'blocks.10',
    'blocks.11',
  ]);
  const scale = useMemo(() => valueScale('log', [matrix]), []);
  const metrics = useMemo(() => metric(LAST, 811), []);
  const reference = useMemo(() => medianBefore(mean, 800), []);
  const flags = [
    { row: 11, severity: 'critical', remark: '61 of 64 units dead' },
    { row: 21, severity: 'warning', remark: 'NaN starts here' },
  ] as const;
  const onReadout = (text: string) => {
    words.value = text;
  };
  const common = { ...linked, selection: selection.value, onReadout };
  const strip = { ...INSETS, top: 8, bottom: 8 };
  return (
    <>
      <div class="row">
        <h2>Gradient norm</h2>
        <Box height={32}>
          <ColorLegend title="Gradient norm" scale={scale} value={3e-6} />
        </Box>
      </div>
      <div class="row">
        <div style={{ flex: 1, minWidth: 0 }}>
          <Box height={560}>
            <Heatmap
              {...common}
              title="Gradient norm"
              layers={layers}
              matrix={matrix}
              statistic={NORM}
              scale={scale}
              folded={folded.value}
              flags={flags}
              marks={[{ step: 812, label: '812', severity: 'critical' }]}
              insets={INSETS}
              frame={frame}
              exportRef={exported}
            />
          </Box>
          <Box height={64}>
            <StepLines
              {...common}
              title="Loss"
              series={metrics.loss}
              scale="linear"
              insets={strip}
              axis={false}
            />
          </Box>
          <Box height={52}>
            <StepLines
              {...common}
              title="Gradient norm"
              series={metrics.norm}
              scale="log"
              insets={strip}
              axis={false}
            />
          </Box>
          <Box height={68}>
            <StepLines
              {...common}
              title="Learning rate"
              series={metrics.rate}
              scale="linear"
              insets={{ ...strip, bottom: 24 }}
            />
          </Box>
        </div>
        <Box height={560} width={280}>
          <LayerProfile
            {...common}
            title="Each layer at step 1,240"
            layers={layers}
            mean={mean}
            reach={max}
            step={selection.value.step}
            frame={frame}
            reference={reference}
            flags={flags}
          />
        </Box>
      </div>
      <p aria-live="polite">{words.value}</p>
    </>
  );
}

function Panels() {
  const layers = useMemo(() => blockNames(4, 3), []);
  const matrix = useMemo(() => dyingNetwork(layers.length, LAST, 4, 811), []);
  const {
    selection,
    folded: _folded,
    words: _words,
    frame: _frame,
    ...linked
  } = useLinked(matrix, { row: 4, step: 1240 });
  const metrics = useMemo(() => metric(LAST, 811), []);
  const common = { ...linked, selection: selection.value };
  const row = (index: number) => ({
    label: layers[index]!.name,
    steps: matrix.steps,
    spans: matrix.spans,
    values: matrix.values.subarray(index * matrix.steps.length, (index + 1) * matrix.steps.length),
    states: matrix.states.subarray(index * matrix.steps.length, (index + 1) * matrix.steps.length),
  });
  const one = row(4);
  const banded = {
    ...one,
    low: one.values.map((value) => value / 2),
    high: one.values.map((value) => value * 2),
  };
  const colors = ['--run-1', '--run-2', '--run-3', '--run-4'].map((name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name),
  );
  return (
    <>
      <div class="row">
        <Box height={220}>
          <StepLines
            {...common}
            title="Norm"
            series={[banded]}
            scale="log"
            levels={[{ value: 1.6e-5, label: 'threshold 1.6e-5', severity: 'critical' }]}
            marks={[{ step: 812, label: '812', severity: 'critical' }]}
          />
        </Box>
        <Box height={220}>
          <StepLines {...common} title="Loss" series={metrics.loss} scale="linear" />
        </Box>
        <Box height={220}>
          <StepLines
            {...common}
            title="Four"
            series={colors.map((color, index) => ({ ...row(index * 3 + 1), color }))}
            scale="log"
          />
        </Box>
      </div>
      <div class="row">
        <Box height={200}>
          <Distribution
            title="Gradients"
            bins={BINS}
            counts={counts(0.953, -22)}
            reference={{ counts: counts(0.1, -11), label: 'step 400' }}
          />
        </Box>
        <Box height={200}>
          <Distribution title="Gradients" bins={BINS} counts={counts(0, -14, 0.02)} />
        </Box>
        <Box height={200}>
          <Distribution title="Gradients" bins={BINS} counts={new Uint32Array(128)} />
        </Box>
      </div>
      <div class="row">
        <Box height={300}>
          <LayerProfile
            {...common}
            title="Profile"
            layers={layers}
            mean={scaled(matrix, 0.01)}
            reach={matrix}
            step={2320}
          />
        </Box>
        <Box height={300}>
          <DataTable
            title="Loss"
            table={{
              columns: ['step', '<b>x</b>', ...layers.map((l) => l.name)],
              rowCount: 5000,
              row: (i) => [i, 'not recorded', ...layers.map((_, j) => (i * j) / 7e4)],
            }}
          />
        </Box>
      </div>
      <div class="row">
        {(['fraction', 'signed', 'log'] as const).map((kind) => (
          <Box key={kind} height={32}>
            <ColorLegend title={kind} scale={valueScale(kind)} value={0.4} />
          </Box>
        ))}
      </div>
      <div class="row">
        <Box height={90}>
          <StepLines {...common} title="Nothing" series={[]} scale="log" />
        </Box>
        <Box height={90}>
          <StepLines
            {...common}
            title="NaN"
            series={[
              {
                ...one,
                values: one.values.map(() => Number.NaN),
                states: new Uint8Array(one.values.length).fill(STATE.nonfinite),
              },
            ]}
            scale="log"
          />
        </Box>
        <Box height={90}>
          <StepLines
            {...common}
            title="Zero"
            series={[{ ...one, values: one.values.map(() => 0), states: new Uint8Array(one.values.length) }]}
            scale="log"
          />
        </Box>
        <Box height={90}>
          <StepLines
            {...common}
            title="Point"
            series={[
              { label: 'loss', steps: Float64Array.of(2500), spans: Float64Array.of(1), values: [0.3] },
            ]}
            scale="linear"
          />
        </Box>
      </div>
    </>
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
  const rows = layers.map((_, row) => row);
  return (
    <>
      <Fixture layers={layers} matrix={matrix} height={420} at={{ row: 700, step: 8010 }} />
      <Fixture
        layers={layers}
        matrix={matrix}
        height={420}
        at={{ row: 700, step: 8010 }}
        closed={autoFold(layers, rows, 400, [700])}
        labels="compact"
      />
    </>
  );
}

function HeatmapAlone() {
  const layers = useMemo(() => blockNames(99, 3).slice(0, 300), []);
  return <Fixture layers={layers} matrix={LARGE} height={700} at={{ row: 30, step: 500 }} />;
}

function LinesAlone() {
  const {
    selection,
    folded: _folded,
    words: _words,
    frame: _frame,
    ...linked
  } = useLinked(LARGE, { row: null, step: 500 });
  const length = LARGE.steps.length;
  const series = useMemo(
    () =>
      Array.from({ length: 200 }, (_, row) => ({
        label: `layer ${row}`,
        steps: LARGE.steps,
        spans: LARGE.spans,
        values: LARGE.values.subarray(row * length, (row + 1) * length),
      })),
    [],
  );
  return (
    <Box height={500}>
      <StepLines {...linked} selection={selection.value} title="Lines" series={series} scale="log" />
    </Box>
  );
}

export const pages: Record<string, FunctionComponent> = {
  flow: Flow,
  panels: Panels,
  edges: Edges,
  blank: () => null,
  heatmap: HeatmapAlone,
  lines: LinesAlone,
  huge: Huge,
};

// For the driver of the harness: what would be saved.
Object.assign(window, { chart: { exported, savePng, saveSvg, saveCsv } });
