/** Which statistic of those that the rows of a view have. */
import type { StatisticInfo } from '../data/types';
import * as selection from '../state/selection';
import { Choice } from './choice';

export interface StatisticChoiceProps {
  readonly recorded: readonly StatisticInfo[];
  /** The one that is shown. */
  readonly chosen: string;
  readonly common: readonly string[];
}

export function StatisticChoice({ recorded, chosen, common }: StatisticChoiceProps) {
  return (
    <Choice
      label="Statistic"
      more="More statistics"
      options={recorded.map(({ id, label }) => ({ id, label }))}
      chosen={chosen}
      common={common}
      onChoose={(id) => {
        selection.statistic.value = id;
      }}
    />
  );
}
