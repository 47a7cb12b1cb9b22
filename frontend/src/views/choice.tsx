/** One of several: the common ones side by side, the others in a menu. */
import { Down } from './icons';
import { Menu } from './menu';

export interface Option {
  readonly id: string;
  readonly label: string;
  /** How many there are of it. */
  readonly count?: string | undefined;
}

export interface ChoiceProps {
  readonly label: string;
  readonly options: readonly Option[];
  readonly chosen: string;
  readonly onChoose: (id: string) => void;
  /** Ids of those that stand side by side; by default all. */
  readonly common?: readonly string[];
  /** Name of the menu that holds the others. */
  readonly more?: string;
}

export function Choice({ label, options, chosen, onChoose, common, more = 'More' }: ChoiceProps) {
  const isCommon = ({ id }: Option) => common === undefined || common.includes(id);
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
