/** Findings in words. */
import { formatCount, formatSteps, formatValue } from '../../charts/numbers';
import type { Consequence, Grade } from '../../data/findings';
import { plural } from '../words';

/** What a severity is called, beside its symbol. */
export const SEVERITY: Readonly<Record<Grade, string>> = {
  critical: 'Critical',
  warning: 'Warning',
  info: 'Note',
};
const WORST_FIRST: readonly Grade[] = ['critical', 'warning', 'info'];

/** "1 critical · 2 warnings · 1 note" */
export function tally(findings: readonly Pick<Consequence, 'severity'>[]): string {
  return WORST_FIRST.flatMap((grade) => {
    const count = findings.filter(({ severity }) => severity === grade).length;
    if (count === 0) return [];
    return [grade === 'critical' ? `${count} critical` : plural(count, SEVERITY[grade].toLowerCase())];
  }).join(' · ');
}

/** "steps 672–992", "step 5" */
export function stepsOf({ first_step, last_step }: Pick<Consequence, 'first_step' | 'last_step'>): string {
  if (first_step === null) return '';
  const last = last_step ?? first_step;
  return last === first_step ? `step ${formatCount(first_step)}` : `steps ${formatSteps(first_step, last)}`;
}

/** How far something is beyond its threshold: "4 times the threshold"; empty where no factor says it. */
export function beyondWords(measured: number | null, threshold: number | null): string {
  if (measured === null || threshold === null || measured <= 0 || threshold <= 0) return '';
  const factor = measured / threshold;
  if (factor >= 1.1) return `${formatValue(factor)} times the threshold`;
  return factor <= 1 / 1.1 ? `1/${formatValue(1 / factor)} of the threshold` : 'about at the threshold';
}

/** "Vanishing gradient, 2 more" */
export function firstOf(titles: readonly string[]): string {
  const more = titles.length - 1;
  return more > 0 ? `${titles[0]}, ${formatCount(more)} more` : (titles[0] ?? '');
}
