/** The selected row over the steps, and its distribution. */
import type { LayerLabel } from '../../charts/types';
import type { Series } from '../../data/types';
import * as selection from '../../state/selection';
import { run } from '../../state/store';
import { Distribution } from '../distribution';
import { RowLines } from '../row-lines';
import { nameOr } from '../words';

export interface FlowDetailProps {
  readonly statistic: string;
  readonly series: Series | null;
  readonly labels: readonly LayerLabel[];
  readonly row: number | null;
}

export function FlowDetail({ statistic, series, labels, row }: FlowDetailProps) {
  const kind = selection.rows.value;
  const label = row === null ? undefined : labels[row];
  if (row === null || label === undefined) {
    return (
      <div class="flow-detail">
        <p class="muted">Choose a layer in the picture above, with the pointer or with ↑ and ↓.</p>
      </div>
    );
  }
  return (
    <div class="flow-detail">
      <RowLines
        statistic={statistic}
        kind={kind}
        row={row}
        name={label.name}
        others={series}
        heading={nameOr(label.name)}
      />
      {run.value.value?.has_bins && <Distribution kind={kind} row={row} name={label.name} />}
    </div>
  );
}
