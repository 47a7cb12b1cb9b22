/** Any statistic of all activations over the steps, and all of them at one step. */
import { useComputed } from '@preact/signals';
import { OUTPUTS } from '../../charts/scale';
import type { RowFlag } from '../../charts/types';
import { selectStep } from '../../state/actions';
import {
  activationIndex,
  activationLabels,
  activations,
  selectActivation,
  shownActivations,
} from '../../state/activations';
import { recordedStatistics, recordedStep } from '../../state/derived';
import * as selection from '../../state/selection';
import { aboutSeries, run } from '../../state/store';
import { Distribution } from '../distribution';
import { RowLines } from '../row-lines';
import { StatisticChoice } from '../statistic-choice';
import { StatisticStage } from '../statistic-stage';
import { UnitCurves } from '../unit-curves';
import { useFollow } from '../use-follow';
import { nameOr } from '../words';
import { Depth } from './depth';

const COMMON = ['activation_mean', 'activation_std', 'activation_zero_fraction', 'activation_saturation'];
/** What the view opens on: whether the signal shrinks or blows up. */
const FIRST = 'activation_std';
const NO_FLAGS: readonly RowFlag[] = [];

export function Statistics() {
  const recorded = useComputed(() => recordedStatistics('activations'));
  const shown = useComputed(() => {
    const ids = recorded.value.map(({ id }) => id);
    return [selection.statistic.value, FIRST].find((id) => ids.includes(id)) ?? ids[0] ?? '';
  });
  const series = useFollow(() => aboutSeries({ statistic: shown.value, rows: 'activations' }));
  const mean = useFollow(() => aboutSeries({ statistic: 'activation_mean', rows: 'activations' }));
  const std = useFollow(() => aboutSeries({ statistic: 'activation_std', rows: 'activations' }));
  const { value, error } = series.value;
  const labels = activationLabels.value;
  const row = activationIndex.value;
  const onSelect = (change: { row?: number | null; step?: number | null }) => {
    if (change.row !== undefined && change.row !== null) selectActivation(change.row);
    if (change.step !== undefined && change.step !== null) selectStep(change.step);
  };
  const fits = value !== null && value.rows.length === labels.length ? value : null;
  return (
    <div class="flow with-units">
      <StatisticStage
        statistic={shown.value}
        series={fits}
        error={error}
        labels={labels}
        noun="activation"
        magnitudes={shown.value.startsWith('activation_') ? OUTPUTS : undefined}
        shown={shownActivations.value}
        selection={{ row, step: recordedStep.value }}
        onSelect={onSelect}
        flags={NO_FLAGS}
        marks={[]}
        choices={<StatisticChoice recorded={recorded.value} chosen={shown.value} common={COMMON} />}
        profile={(frame) => (
          <Depth
            mean={mean.value.value}
            std={std.value.value}
            labels={labels}
            shown={shownActivations.value}
            selection={{ row, step: recordedStep.value }}
            onSelect={onSelect}
            frame={frame}
          />
        )}
      />
      {row === null ? (
        <p class="flow-detail muted">Choose a row in the picture above, with the pointer or with ↑ and ↓.</p>
      ) : (
        <Detail statistic={shown.value} series={fits} row={row} />
      )}
    </div>
  );
}

interface DetailProps {
  readonly statistic: string;
  readonly series: Parameters<typeof RowLines>[0]['others'];
  readonly row: number;
}

function Detail({ statistic, series, row }: DetailProps) {
  const about = activations.value[row];
  if (about === undefined) return null;
  return (
    <>
      <div class="flow-detail">
        <RowLines
          statistic={statistic}
          kind="activations"
          row={row}
          name={about.label}
          others={series ?? null}
          heading={nameOr(about.label)}
        />
        {run.value.value?.has_activation_bins && (
          <Distribution kind="activations" row={row} name={about.label} />
        )}
      </div>
      {run.value.value?.has_units && about.units > 0 && (
        <div class="unit-detail">
          <UnitCurves activation={row} unit={selection.unit.value ?? 0} />
        </div>
      )}
    </>
  );
}
