/** Rows by name: the filter, and the way through them. */
import { formatCount } from '../charts/numbers';
import type { LayerLabel } from '../charts/types';
import type { Run } from '../data/types';

export interface Filter {
  readonly test: (name: string) => boolean;
  /** Why the pattern can't be used, in words. */
  readonly error: string | null;
}

/** A regular expression as people type it, without regard to case. One that can't be used lets everything through. */
export function makeFilter(pattern: string): Filter {
  if (pattern === '') return { test: () => true, error: null };
  try {
    const expression = new RegExp(pattern, 'iu');
    return { test: (name) => expression.test(name), error: null };
  } catch (reason) {
    return { test: () => true, error: explain(reason) };
  }
}

/** The rows of a run, in words: its layers or its parameters. */
export function rowLabels(run: Run, kind: 'layers' | 'parameters'): LayerLabel[] {
  if (kind === 'layers') {
    return run.layers.map(({ name, elements }) => ({ name, detail: formatCount(elements) }));
  }
  return run.parameters.map(({ name, shape }) => ({ name, detail: shape.join('×') || 'scalar' }));
}

/** The shown row `count` further; from a row that is not shown, the nearest one on that side. */
export function rowBy(shown: readonly number[], row: number | null, count: number): number | null {
  if (shown.length === 0) return null;
  if (row === null) return count > 0 ? shown[0]! : shown.at(-1)!;
  const at = shown.findIndex((index) => index >= row);
  const place = at < 0 ? shown.length : at;
  const between = shown[place] !== row && count > 0 ? 1 : 0;
  return shown[Math.min(shown.length - 1, Math.max(0, place + count - between))]!;
}

function explain(reason: unknown): string {
  const words = reason instanceof Error ? reason.message : String(reason);
  return `Not a regular expression: ${words.replace(/^.*:\s*/s, '').toLowerCase()}. All layers are shown.`;
}
