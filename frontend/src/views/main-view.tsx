/** The selected view, or why there is none. */

import * as selection from '../state/selection';
import { run, runs, summary } from '../state/store';
import { NoData, Notice, Retry } from './states';
import { currentView } from './tabs';
import { VIEWS } from './views';
import { sentence } from './words';

export function MainView() {
  const list = runs.answer.value;
  if (list === null) return <NoAnswer />;
  if (list.length === 0) return <NoData />;
  if (summary.value === null) return <RunGone />;
  if (summary.value.error !== null) return <Unreadable words={summary.value.error} />;
  const { value, error } = run.value;
  if (value === null && error !== null) return <Unreadable words={error.message} />;
  const View = currentView.value?.component;
  if (View === undefined) return <Skeleton />;
  return (
    <>
      <Absent />
      <View />
    </>
  );
}

/** Why another view is shown than the one that is asked for, and what to do; a run without a network says that itself. */
function Absent() {
  const wanted = VIEWS.find(({ id }) => id === selection.view.value);
  const shown = currentView.value;
  if (wanted === undefined || wanted === shown || run.value.value?.layers.length === 0) return null;
  return (
    <p class="absent" role="status">
      <b>{wanted.label}:</b> {wanted.remedy}
    </p>
  );
}

function NoAnswer() {
  if (runs.error.value === null) return <Skeleton />;
  return (
    <Notice title="TensorBoard does not answer">
      {runs.error.value.kind !== 'unreachable' && <p>{runs.error.value.message}</p>}
      <p>See whether it is still running in its terminal, and start it again. This page goes on asking.</p>
      <Retry />
    </Notice>
  );
}

function RunGone() {
  return (
    <Notice title="This run is not here">
      <p>
        TensorBoard has no run named <b>{selection.run.value}</b>. It may have been deleted or moved, or
        TensorBoard has not read it yet.
      </p>
      <p>Choose another run at the top left, or wait: it is looked for every two seconds.</p>
    </Notice>
  );
}

function Unreadable({ words }: { words: string }) {
  return (
    <Notice title="This run can’t be read">
      <p>{sentence(words)}</p>
      <p>Other runs are not affected; choose one at the top left.</p>
      <Retry />
    </Notice>
  );
}

/** The shape of what is coming. */
function Skeleton() {
  return (
    <div class="skeleton" role="status" aria-label="Loading">
      <span />
      <span />
      <span />
    </div>
  );
}
