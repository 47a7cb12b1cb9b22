/** Any statistic of all layers over the steps, and all layers at one step. */
import { useComputed } from '@preact/signals';
import { recordedStatistics } from '../../state/derived';
import { rowLabels } from '../../state/layers';
import * as selection from '../../state/selection';
import { aboutSeries, run } from '../../state/store';
import { useFollow } from '../use-follow';
import { FlowDetail } from './flow-detail';
import { FlowStage } from './flow-stage';
import { useRowSelection } from './row-selection';

export function GradientFlow() {
  const { statistic, rows } = selection;
  const shown = useComputed(() => {
    const recorded = recordedStatistics('parameters').map(({ id }) => id);
    return recorded.includes(statistic.value) ? statistic.value : (recorded[0] ?? statistic.value);
  });
  const series = useFollow(() => aboutSeries({ statistic: shown.value, rows: rows.value }));
  const mean = useFollow(() => aboutSeries({ statistic: 'gradient_mean_abs', rows: rows.value }));
  const max = useFollow(() => aboutSeries({ statistic: 'gradient_max_abs', rows: rows.value }));
  const labels = useComputed(() => (run.value.value ? rowLabels(run.value.value, rows.value) : []));
  const row = useRowSelection(labels);
  const { value, error } = series.value;
  // An answer of the rows before belongs to other names.
  const fits = value !== null && value.kind === rows.value && value.rows.length === labels.value.length;
  return (
    <div class="flow">
      <h2 class="visually-hidden">Gradient flow</h2>
      <FlowStage
        statistic={shown.value}
        series={fits ? value : null}
        error={error}
        mean={mean.value.value}
        max={max.value.value}
        labels={labels.value}
        row={row}
      />
      <FlowDetail
        statistic={shown.value}
        series={fits ? value : null}
        labels={labels.value}
        row={row.selection.value.row}
      />
    </div>
  );
}
