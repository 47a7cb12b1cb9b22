/** Keys that work everywhere except in a field. */
import { clearTransient, moveFinding, moveLayer, moveStep, selectStep } from '../state/actions';
import { moveActivation, shownActivations } from '../state/activations';
import { steps } from '../state/derived';
import { watchingEmbeddings } from '../state/embeddings';
import { embeddingPlayer } from '../state/embeddings-play';
import { moveSource, watching } from '../state/maps';
import { togglePlay } from '../state/play';
import { toggleTable } from './figure';
import { helpOpen } from './help';
import { FILTER_ID } from './layer-filter';
import { currentView } from './tabs';

/** What the help says. */
export const KEYS: readonly { readonly keys: readonly string[]; readonly words: string }[] = [
  { keys: ['←', '→'], words: 'previous, next recorded step; with Shift ten' },
  { keys: ['Home', 'End'], words: 'first, newest step' },
  { keys: ['↑', '↓'], words: 'layer towards the input, towards the output' },
  { keys: ['[', ']'], words: 'previous, next finding' },
  { keys: ['Space'], words: 'play, stop' },
  { keys: ['/'], words: 'filter layers' },
  { keys: ['t'], words: 'table in the place of the chart in focus' },
  { keys: ['Esc'], words: 'clear the hover, then the zoom' },
  { keys: ['?'], words: 'this help' },
];

export function listenToKeys(): void {
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (isField(event.target) || helpOpen.value) return;
    if (event.key === ' ' && isControl(event.target)) return;
    const action = actionOf(event);
    if (action === null) return;
    event.preventDefault();
    action();
  });
}

function actionOf({ key, shiftKey }: KeyboardEvent): (() => void) | null {
  const far = shiftKey ? 10 : 1;
  switch (key) {
    case 'ArrowLeft':
      return () => moveRecord(-far);
    case 'ArrowRight':
      return () => moveRecord(far);
    case 'Home':
      return () => moveRecord(Number.NEGATIVE_INFINITY);
    case 'End':
      return () => moveRecord(Number.POSITIVE_INFINITY);
    case 'ArrowUp':
      return () => moveRow(-far);
    case 'ArrowDown':
      return () => moveRow(far);
    case '[':
      return () => moveFinding(-1);
    case ']':
      return () => moveFinding(1);
    case ' ':
      return watchingEmbeddings.value ? () => embeddingPlayer.toggle() : togglePlay;
    case '/':
      return () => document.getElementById(FILTER_ID)?.focus();
    case 't':
      return toggleTable;
    case '?':
      return () => {
        helpOpen.value = true;
      };
    case 'Escape':
      return clearTransient;
    default:
      return null;
  }
}

/** Through the records that the view shows: those of the run, or those of the points. */
function moveRecord(count: number): void {
  if (watchingEmbeddings.value) embeddingPlayer.move(count);
  else if (Number.isFinite(count)) moveStep(count);
  else selectStep(count < 0 ? (steps.value[0] ?? 0) : count);
}

/** Up and down the network, by what the rows of the view are. */
function moveRow(count: number): void {
  const id = currentView.value?.id;
  if (watching.value) moveSource(count);
  else if (id === 'units' || id === 'activations') moveActivation(shownActivations.value, count);
  else moveLayer(count);
}

function isField(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.matches('input, textarea, select') || target.closest('[role=menu]') !== null)
  );
}

function isControl(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches('button, a, summary');
}
