/** What a row is: a layer, or each of its parameters. */
import * as selection from '../../state/selection';

const CHOICES = [
  { id: 'layers', label: 'Layers' },
  { id: 'parameters', label: 'Parameters' },
] as const;

export function RowsChoice() {
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would bring its own looks and no more meaning.
    <div class="segments" role="group" aria-label="Rows">
      {CHOICES.map(({ id, label }) => (
        <button
          key={id}
          type="button"
          aria-pressed={selection.rows.value === id}
          onClick={() => {
            selection.rows.value = id;
          }}
        >
          {label}
        </button>
      ))}
    </div>
  );
}
