/** Which statistic: the common ones side by side, the others in a menu. */
import { useComputed } from '@preact/signals';
import * as selection from '../../state/selection';
import { catalogue, run } from '../../state/store';
import { Down } from '../icons';
import { Menu } from '../menu';

const COMMON = ['gradient_norm', 'gradient_mean_abs', 'gradient_max_abs', 'update_ratio', 'gradient_cosine'];

export function StatisticChoice() {
  const recorded = useComputed(() => {
    const known = run.value.value?.statistics ?? [];
    return catalogue.value.value?.statistics.filter(({ id }) => known.includes(id)) ?? [];
  }).value;
  const chosen = selection.statistic.value;
  const choose = (id: string) => () => {
    selection.statistic.value = id;
  };
  const common = recorded.filter(({ id }) => COMMON.includes(id));
  const others = recorded.filter(({ id }) => !COMMON.includes(id));
  const other = others.find(({ id }) => id === chosen);
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would bring its own looks and no more meaning.
    <div class="segments" role="group" aria-label="Statistic">
      {common.map(({ id, label }) => (
        <button key={id} type="button" aria-pressed={id === chosen} onClick={choose(id)}>
          {label}
        </button>
      ))}
      {others.length > 0 && (
        <Menu
          label="More statistics"
          class={other ? 'segment pressed' : 'segment'}
          align="end"
          button={
            <>
              {other?.label ?? 'More'}
              <Down />
            </>
          }
          items={others.map(({ id, label }) => ({ label, checked: id === chosen, action: choose(id) }))}
        />
      )}
    </div>
  );
}
