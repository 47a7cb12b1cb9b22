/** One of several: the common ones side by side, the others in a menu. */
import type { Signal } from '@preact/signals';
import { Down } from './icons';
import { Menu } from './menu';

export interface Option<Id extends string = string> {
  readonly id: Id;
  readonly label: string;
  /** How many there are of it. */
  readonly count?: string | undefined;
}

export interface ChoiceProps<Id extends string = string> {
  readonly label: string;
  readonly options: readonly Option<Id>[];
  readonly chosen: Id;
  readonly onChoose: (id: Id) => void;
  /** Ids of those that stand side by side; by default all. */
  readonly common?: readonly Id[];
  /** Name of the menu that holds the others. */
  readonly more?: string;
}

export function Choice<Id extends string>(props: ChoiceProps<Id>) {
  const { label, options, chosen, onChoose, common, more = 'More' } = props;
  const isCommon = ({ id }: Option<Id>) => common === undefined || common.includes(id);
  const others = options.filter((option) => !isCommon(option));
  const other = others.find(({ id }) => id === chosen);
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would bring its own looks and no more meaning.
    <div class="segments" role="group" aria-label={label}>
      {options.filter(isCommon).map((option) => (
        <button
          key={option.id}
          type="button"
          aria-pressed={option.id === chosen}
          onClick={() => onChoose(option.id)}
        >
          {option.label}
          {option.count !== undefined && <span class="count">{option.count}</span>}
        </button>
      ))}
      {others.length > 0 && (
        <Menu
          label={more}
          class={other ? 'segment pressed' : 'segment'}
          align="end"
          button={
            <>
              {other?.label ?? 'More'}
              <Down />
            </>
          }
          items={others.map(({ id, label, count }) => ({
            label,
            ...(count === undefined ? {} : { hint: count }),
            checked: id === chosen,
            action: () => onChoose(id),
          }))}
        />
      )}
    </div>
  );
}

/** What a choice needs that a signal keeps. */
export function bound<Id extends string>(kept: Signal<Id>): Pick<ChoiceProps<Id>, 'chosen' | 'onChoose'> {
  return {
    chosen: kept.value,
    onChoose: (id) => {
      kept.value = id;
    },
  };
}
