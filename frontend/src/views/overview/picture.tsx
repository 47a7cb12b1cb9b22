/** The whole run at a glance: layers over steps, and under it what the run did, on one axis. */
import { useMemo } from 'preact/hooks';
import { valueScale } from '../../charts/scale';
import type { Insets } from '../../charts/types';
import type { Resource } from '../../data/resource';
import type { Series } from '../../data/types';
import { layerIndex, layerLabels, shownLayers, step } from '../../state/derived';
import { everyFinding } from '../../state/findings';
import { DataNotice } from '../data-notice';
import { Explain } from '../explain';
import { Figure } from '../figure';
import { LayerHeatmap } from '../layer-heatmap';
import { Legend } from '../legend';
import { stepMarks } from '../marks';
import { flags, labelOf, layerSelection, onSelect, toMatrix } from '../page';
import { SkipNote } from '../skip-note';
import { Strips, useStrips } from '../strips';
import { plural } from '../words';
import { ZoomButton } from '../zoom-button';

export const INSETS: Insets = { left: 132, right: 132, top: 28, bottom: 13 };

export function Picture({ heat }: { heat: Resource<Series> }) {
  const { value, error } = heat;
  const strips = useStrips();
  return (
    <section class="picture" aria-label="The run">
      <DataNotice error={error} />
      {value === null ? <div class="waiting" /> : <HeatFigure series={value} />}
      <Strips strips={strips} insets={INSETS} />
    </section>
  );
}

function HeatFigure({ series }: { series: Series }) {
  const { label, scale: kind } = labelOf(series.statistic);
  const scale = useMemo(() => valueScale(kind, [toMatrix(series)]), [kind, series]);
  const labels = layerLabels.value;
  return (
    <Figure
      title={label}
      heading={
        <>
          <h2>{label}</h2>
          <Explain id={series.statistic} />
          <span class="caption clip">{plural(labels.length, 'layer')}</span>
          <SkipNote />
          <ZoomButton />
        </>
      }
      aside={<Legend statistic={series.statistic} scale={scale} series={series} row={layerIndex.value} />}
    >
      {(exportRef) => (
        <LayerHeatmap
          title={label}
          series={series}
          labels={labels}
          scale={scale}
          rows={shownLayers.value}
          selection={layerSelection.value}
          onSelect={onSelect}
          flags={flags.value}
          marks={stepMarks(everyFinding.value, layerIndex.value, step.value)}
          insets={INSETS}
          tree={false}
          exportRef={exportRef}
        />
      )}
    </Figure>
  );
}
