/** Which layers: a regular expression. */
import { formatCount } from '../charts/numbers';
import { filter, layers, shownLayers } from '../state/derived';
import * as selection from '../state/selection';
import { Close, Search } from './icons';
import { plural } from './words';

export const FILTER_ID = 'netviz-filter';

export function LayerFilter() {
  const { error } = filter.value;
  const pattern = selection.filter.value;
  const some = pattern !== '' && error === null;
  const words =
    error ??
    (some ? `${formatCount(shownLayers.value.length)} of ${plural(layers.value.length, 'layer')}` : '');
  return (
    <div class="layer-filter">
      <label class={error === null ? 'search' : 'search wrong'}>
        <Search />
        <input
          id={FILTER_ID}
          type="text"
          aria-label="Filter layers by regular expression"
          aria-invalid={error !== null}
          aria-describedby={words === '' ? undefined : `${FILTER_ID}-words`}
          placeholder="Filter layers"
          spellcheck={false}
          autocomplete="off"
          value={pattern}
          onInput={(event) => {
            selection.filter.value = event.currentTarget.value;
          }}
          onKeyDown={(event) => {
            if (event.key !== 'Escape') return;
            event.stopPropagation();
            if (pattern === '') event.currentTarget.blur();
            selection.filter.value = '';
          }}
        />
        {pattern === '' ? (
          <kbd title="Press / to filter">/</kbd>
        ) : (
          <button
            type="button"
            aria-label="Show all layers"
            onClick={() => {
              selection.filter.value = '';
            }}
          >
            <Close />
          </button>
        )}
      </label>
      {words !== '' && (
        <p id={`${FILTER_ID}-words`} class={error === null ? 'words' : 'words wrong'} role="status">
          {words}
        </p>
      )}
    </div>
  );
}
