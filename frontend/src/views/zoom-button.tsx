/** Between the whole run and the place where the selected fact begins. */
import { formatCount } from '../charts/numbers';
import { onsetOf, zoomToOnset } from '../state/actions';
import { selectedFact } from '../state/derived';
import * as selection from '../state/selection';

export function ZoomButton() {
  const fact = selectedFact.value;
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
  if (fact === null || onsetOf(fact) === null) return null;
  return (
    <button type="button" class="control slim" onClick={() => zoomToOnset(fact)}>
      Zoom to step {formatCount(fact.step)}
    </button>
  );
}
