/** Between the whole run and the place where the selected finding begins. */
import { formatCount } from '../charts/numbers';
import { onsetOf, zoomToOnset } from '../state/actions';
import { selectedFinding } from '../state/findings';
import * as selection from '../state/selection';

export function ZoomButton() {
  const begin = selectedFinding.value?.first_step ?? null;
  if (selection.zoom.value !== null) {
    return (
      <button
        type="button"
        class="control slim"
        onClick={() => {
          selection.zoom.value = null;
        }}
      >
        Show the whole run
      </button>
    );
  }
  if (begin === null || onsetOf({ step: begin }) === null) return null;
  return (
    <button type="button" class="control slim" onClick={() => zoomToOnset({ step: begin })}>
      Zoom to step {formatCount(begin)}
    </button>
  );
}
