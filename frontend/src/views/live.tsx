/** Whether what one sees is up to date. */
import { age, formatAge, type LiveState, liveState } from '../state/live';

const WORDS: Readonly<Record<LiveState, string>> = {
  connecting: 'Connecting',
  live: 'Live',
  finished: 'Last data',
  paused: 'Paused',
  disconnected: 'Disconnected',
};

export function Live() {
  const state = liveState.value;
  const shownAge = age.value !== null && state !== 'connecting' ? `${formatAge(age.value)} ago` : '';
  return (
    <span class={`live is-${state}`} title={explain(state)}>
      <i aria-hidden="true" />
      <span role="status">{state === 'finished' && shownAge === '' ? 'Connected' : WORDS[state]}</span>
      {shownAge !== '' && <span class="age">{state === 'finished' ? shownAge : `· ${shownAge}`}</span>}
    </span>
  );
}

function explain(state: LiveState): string {
  switch (state) {
    case 'connecting':
      return 'Waiting for TensorBoard’s first answer.';
    case 'live':
      return 'This run is being written; new data appears by itself.';
    case 'finished':
      return 'Nothing has been written for a while. New data would appear by itself.';
    case 'paused':
      return 'New data is not asked for. Turn it on in the settings.';
    case 'disconnected':
      return 'TensorBoard does not answer. What you see is what came last; it is asked again.';
  }
}
