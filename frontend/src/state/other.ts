/** The run that the findings are compared with, and what became of them. */
import { computed } from '@preact/signals';
import { address, getRun } from '../data/client';
import { type Consequence, findingsAddress, getFindings, type Report } from '../data/findings';
import type { Request } from '../data/resource';
import type { Run, RunSummary } from '../data/types';
import { against } from './against';
import { type Comparison, compareFindings, matchLayers } from './compare';
import { everyFinding, moved, report } from './findings';
import * as selection from './selection';
import { aboutListed, follow, run, runs } from './store';
import { formatMoved } from './thresholds';

/** The runs that this one can be compared with. */
export const otherRuns = computed<readonly RunSummary[]>(() =>
  (runs.answer.value ?? []).filter(({ run, error }) => run !== selection.run.value && error === null),
);

/** The one that it is compared with; null where there is none. */
export const otherRun = computed<RunSummary | null>(() => {
  const chosen = against.value;
  if (chosen?.kind !== 'run') return null;
  return otherRuns.value.find(({ run }) => run === chosen.run) ?? null;
});

export function compareWith(run: string | null): void {
  selection.against.value = run === null ? null : `run:${run}`;
}

function aboutOther<T>(
  locate: (run: string) => string,
  load: (run: string, signal: AbortSignal) => Promise<T>,
): Request<T> | null {
  return selection.view.value === 'overview' ? aboutListed(otherRun.value, locate, load) : null;
}

const network = follow<Run>(() => aboutOther((name) => address('run', { run: name }), getRun)).state;

export const otherReport = follow<Report>(() => {
  const thresholds = formatMoved(moved.value);
  return aboutOther(
    (name) => findingsAddress(name, thresholds),
    (name, signal) => getFindings(name, thresholds, signal),
  );
}).state;

export interface Outcome extends Comparison {
  /** Findings of the other run, by their ids. */
  readonly theirs: ReadonlyMap<string, Consequence>;
}

/** What became of the other run's findings; null until both are known. */
export const outcome = computed<Outcome | null>(() => {
  const [own, other] = [report.value, otherReport.value.value];
  const [ours, theirs] = [run.value.value, network.value.value];
  if (own === null || other === null || ours === null || theirs === null) return null;
  const every = other.findings.flatMap((finding) => [finding, ...finding.consequences]);
  const comparison = compareFindings(
    { findings: everyFinding.value, not_checked: own.not_checked },
    { findings: every, not_checked: other.not_checked },
    matchLayers(ours, theirs),
  );
  return { ...comparison, theirs: new Map(every.map((finding) => [finding.id, finding])) };
});
