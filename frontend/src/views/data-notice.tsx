/** One line over a chart whose data can't be had; the rest of the page stays. */
import type { DataError } from '../data/errors';
import { retry } from '../state/store';

export function DataNotice({ error }: { error: DataError | null }) {
  if (error === null || error.kind === 'unreachable') return null;
  return (
    <p class="data-notice" role="alert">
      {error.message}{' '}
      <button type="button" class="link" onClick={retry}>
        Try again
      </button>
    </p>
  );
}
