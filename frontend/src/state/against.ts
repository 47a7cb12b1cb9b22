/** What is compared with: another step, another embedding of the run, or another run. */
import { computed } from '@preact/signals';
import type { Request } from '../data/resource';
import * as selection from './selection';
import { aboutListed, runs } from './store';

export type Against =
  | { readonly kind: 'step'; readonly step: number }
  | { readonly kind: 'embedding'; readonly embedding: string }
  | { readonly kind: 'run'; readonly run: string };

export function parseAgainst(text: string | null): Against | null {
  const [, kind, value] = /^(step|embedding|run):(.*)$/s.exec(text ?? '') ?? [];
  if (kind === 'step') return /^\d+$/.test(value!) ? { kind, step: Number(value) } : null;
  if (kind === 'embedding') return { kind, embedding: value! };
  return kind === 'run' && value ? { kind, run: value } : null;
}

export const against = computed(() => parseAgainst(selection.against.value));

/** A request about the run that is compared with. */
export function aboutCompared<T>(
  locate: (run: string) => string,
  load: (run: string, signal: AbortSignal) => Promise<T>,
): Request<T> | null {
  const other = against.value;
  if (other?.kind !== 'run') return null;
  return aboutListed(
    runs.answer.value?.find(({ run }) => run === other.run),
    locate,
    load,
  );
}
