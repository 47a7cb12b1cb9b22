/** A field to search in, which Escape empties, and what is wrong with what was typed. */
import type { Signal } from '@preact/signals';
import { Search } from './icons';

export interface SearchFieldProps {
  readonly label: string;
  readonly title: string;
  readonly placeholder: string;
  readonly typed: Signal<string>;
  readonly error: string | null;
  readonly class: string;
}

export function SearchField({ label, title, placeholder, typed, error, ...rest }: SearchFieldProps) {
  return (
    <span class={rest.class}>
      <label class={error === null ? 'search' : 'search wrong'}>
        <Search />
        <input
          type="text"
          aria-label={label}
          title={title}
          aria-invalid={error !== null}
          placeholder={placeholder}
          spellcheck={false}
          autocomplete="off"
          value={typed.value}
          onInput={(event) => {
            typed.value = event.currentTarget.value;
          }}
          onKeyDown={(event) => {
            if (event.key !== 'Escape' || typed.value === '') return;
            event.stopPropagation();
            typed.value = '';
          }}
        />
      </label>
      {error !== null && (
        <p class="words wrong" role="status">
          {error}
        </p>
      )}
    </span>
  );
}
