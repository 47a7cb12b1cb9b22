/** Whether what one sees is up to date, in a word and a sentence. */
import { computed, effect, signal } from '@preact/signals';
import { formatCount } from '../charts/numbers';
import { onReload, watchVisibility } from '../lib/host';
import { retry, runs, summary } from './store';

export type LiveState = 'connecting' | 'live' | 'finished' | 'paused' | 'disconnected';

/** Seconds without a record after which a run counts as finished. */
export const QUIET = 120;

/** Whether the reader wants news. */
export const polling = signal(true);
/** Whether the tab is in sight. */
export const visible = signal(true);
/** Unix time in seconds, once a second while someone looks. */
const now = signal(Date.now() / 1000);

export const liveState = computed<LiveState>(() => {
  if (runs.error.value !== null) return 'disconnected';
  if (runs.answer.value === null) return 'connecting';
  if (!polling.value) return 'paused';
  return age.value !== null && age.value < QUIET ? 'live' : 'finished';
});

/** Seconds since the run's last record; null where nobody knows. */
export const age = computed(() => {
  const written = summary.value?.wall_time;
  return written === null || written === undefined ? null : Math.max(0, now.value - written);
});

/** "4 s", "12 min", "3 h", "5 days". */
export function formatAge(seconds: number): string {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 100 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${formatCount(seconds / 86400)} days`;
}

/** Ask for news while someone looks. */
export function startPolling(): void {
  watchVisibility((is) => {
    visible.value = is;
  });
  onReload(retry);
  effect(() => runs.run(polling.value && visible.value));
  effect(() => {
    if (!visible.value) return;
    now.value = Date.now() / 1000;
    const timer = setInterval(() => {
      now.value = Date.now() / 1000;
    }, 1000);
    return () => clearInterval(timer);
  });
}
