/** Layers or parameters over the steps, and beside them the mean and the largest gradient of each at the step. */
import type { LayerLabel, RowFlag } from '../../charts/types';
import type { DataError } from '../../data/errors';
import type { Series } from '../../data/types';
import { layerIndex, recordedStatistics, step } from '../../state/derived';
import { everyFinding } from '../../state/findings';
import * as selection from '../../state/selection';
import { stepMarks } from '../marks';
import { flags } from '../page';
import { StatisticChoice } from '../statistic-choice';
import { StatisticStage } from '../statistic-stage';
import { Profile } from './profile';
import type { RowSelection } from './row-selection';
import { RowsChoice } from './rows-choice';

const COMMON = ['gradient_norm', 'gradient_mean_abs', 'gradient_max_abs', 'update_ratio', 'gradient_cosine'];
const NO_FLAGS: readonly RowFlag[] = [];

export interface FlowStageProps {
  readonly statistic: string;
  readonly series: Series | null;
  readonly error: DataError | null;
  readonly mean: Series | null;
  readonly max: Series | null;
  readonly labels: readonly LayerLabel[];
  readonly row: RowSelection;
}

export function FlowStage({ statistic, series, error, mean, max, labels, row }: FlowStageProps) {
  const layers = selection.rows.value === 'layers';
  return (
    <StatisticStage
      statistic={statistic}
      series={series}
      error={error}
      labels={labels}
      noun={layers ? 'layer' : 'parameter'}
      shown={row.shown.value}
      selection={row.selection.value}
      onSelect={row.onSelect}
      flags={layers ? flags.value : NO_FLAGS}
      marks={stepMarks(everyFinding.value, layerIndex.value, step.value)}
      choices={
        <>
          <StatisticChoice recorded={recordedStatistics('parameters')} chosen={statistic} common={COMMON} />
          <RowsChoice />
        </>
      }
      profile={(frame) => <Profile mean={mean} max={max} labels={labels} row={row} frame={frame} />}
    />
  );
}
