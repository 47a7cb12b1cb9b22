/** The heatmap of the chosen statistic, and beside it all layers at the step, row by row. */
import { signal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { valueScale } from '../../charts/scale';
import type { Insets, LayerLabel, RowFlag, RowFrame } from '../../charts/types';
import type { DataError } from '../../data/errors';
import type { Series } from '../../data/types';
import { factList, layerIndex, recordedStatistics, step } from '../../state/derived';
import * as selection from '../../state/selection';
import { DataNotice } from '../data-notice';
import { Figure } from '../figure';
import { LayerHeatmap } from '../layer-heatmap';
import { Legend } from '../legend';
import { stepMarks } from '../marks';
import { flags, labelOf, toMatrix } from '../page';
import { SkipNote } from '../skip-note';
import { StatisticChoice } from '../statistic-choice';
import { Strips, useStrips } from '../strips';
import { plural } from '../words';
import { ZoomButton } from '../zoom-button';
import { Profile } from './profile';
import type { RowSelection } from './row-selection';
import { RowsChoice } from './rows-choice';

const COMMON = ['gradient_norm', 'gradient_mean_abs', 'gradient_max_abs', 'update_ratio', 'gradient_cosine'];

const INSETS: Insets = { left: 224, right: 16, top: 28, bottom: 0 };
const NO_FLAGS: readonly RowFlag[] = [];
/** Without a strip below, the picture has the steps. */
const WITH_AXIS: Insets = { ...INSETS, bottom: 24 };
/** Width of the profile, as the style sheet has it, and of the space before it. */
const PROFILE = 264 + 24;
/** The strips go on under the profile, where the names of their curves stand. */
const STRIP_INSETS: Insets = { ...INSETS, right: INSETS.right + PROFILE };

export interface FlowStageProps {
  readonly statistic: string;
  readonly series: Series | null;
  readonly error: DataError | null;
  readonly mean: Series | null;
  readonly max: Series | null;
  readonly labels: readonly LayerLabel[];
  readonly row: RowSelection;
}

export function FlowStage(props: FlowStageProps) {
  const { statistic, series, error, labels, row } = props;
  const { label, scale: kind } = labelOf(statistic);
  const frame = useMemo(() => signal<RowFrame | null>(null), []);
  const scale = useMemo(() => valueScale(kind, series === null ? [] : [toMatrix(series)]), [kind, series]);
  const layers = selection.rows.value === 'layers';
  const strips = useStrips().filter(({ id }) => id === 'loss');
  return (
    <div class="flow-stage">
      <div class="toolbar">
        <StatisticChoice recorded={recordedStatistics('parameters')} chosen={statistic} common={COMMON} />
        <RowsChoice />
        <ZoomButton />
        <SkipNote />
      </div>
      <Figure
        title={label}
        statistic={statistic}
        caption={plural(labels.length, layers ? 'layer' : 'parameter')}
        class="flow-heat"
        aside={<Legend statistic={statistic} scale={scale} series={series} row={row.selection.value.row} />}
      >
        {(exportRef) => (
          <>
            <DataNotice error={error} />
            {series === null ? (
              <div class="waiting" />
            ) : (
              <LayerHeatmap
                title={label}
                series={series}
                labels={labels}
                scale={scale}
                rows={row.shown.value}
                selection={row.selection.value}
                onSelect={row.onSelect}
                flags={layers ? flags.value : NO_FLAGS}
                marks={stepMarks(factList.value, layerIndex.value, step.value)}
                insets={strips.length > 0 ? INSETS : WITH_AXIS}
                tree
                exportRef={exportRef}
                frame={frame}
              />
            )}
          </>
        )}
      </Figure>
      <Profile {...props} frame={frame} />
      <Strips strips={strips} insets={STRIP_INSETS} />
    </div>
  );
}
