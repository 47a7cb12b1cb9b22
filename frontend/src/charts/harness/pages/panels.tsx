/** Each chart alone, with ordinary and with awkward data. */

import { useMemo } from 'preact/hooks';
import { ColorLegend } from '../../ColorLegend';
import { DataTable } from '../../DataTable';
import { Distribution } from '../../distribution/Distribution';
import { StepLines } from '../../lines/StepLines';
import { LayerProfile } from '../../profile/LayerProfile';
import { valueScale } from '../../scale';
import { STATE } from '../../types';
import { BINS, blockNames, counts, dyingNetwork, metric, scaled } from '../data';
import { Box, LAST, useLinked } from '../linked';

export function Panels() {
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
