/** The charts of a view together, linked. */

import { useMemo } from 'preact/hooks';
import { ColorLegend } from '../../ColorLegend';
import { saveCsv, savePng, saveSvg } from '../../exports';
import { Heatmap } from '../../heatmap/Heatmap';
import { StepLines } from '../../lines/StepLines';
import { LayerProfile } from '../../profile/LayerProfile';
import { medianBefore } from '../../profile/values';
import { valueScale } from '../../scale';
import type { Exportable } from '../../types';
import { blockNames, dyingNetwork, metric, scaled } from '../data';
import { Box, INSETS, LAST, NORM, useLinked } from '../linked';

const exported: { current: Exportable | null } = { current: null };

// For the driver of the harness: what would be saved.
Object.assign(window, { chart: { exported, savePng, saveSvg, saveCsv } });

export function Flow() {
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
