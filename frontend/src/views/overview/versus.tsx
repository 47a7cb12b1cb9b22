/** What became of the findings of another run. */
import type { Consequence } from '../../data/findings';
import type { Standing } from '../../state/compare';
import { compareWith, type Outcome, otherReport, otherRun, otherRuns, outcome } from '../../state/other';
import { DataNotice } from '../data-notice';
import { Check } from '../icons';
import { SEVERITY, stepsOf } from './words';

const WORDS: Readonly<Record<Standing, string>> = {
  new: 'new',
  persisting: 'persisting',
  unknown: 'not checked there',
};

/** How a finding stands against the other run, where there is one. */
export function StandingOf({ id }: { id: string }) {
  const standing = outcome.value?.standing.get(id);
  if (standing === undefined) return null;
  return <span class={`standing ${standing}`}>{WORDS[standing]}</span>;
}

export function Versus() {
  const other = otherRun.value;
  if (otherRuns.value.length === 0) return null;
  return (
    <section class="versus" aria-label="Comparison">
      <label>
        <span>Compare with</span>
        <select
          class="control slim"
          value={other?.run ?? ''}
          onChange={(event) => compareWith(event.currentTarget.value || null)}
        >
          <option value="">no other run</option>
          {otherRuns.value.map(({ run }) => (
            <option key={run} value={run}>
              {run}
            </option>
          ))}
        </select>
      </label>
      <DataNotice error={otherReport.value.error} />
      {outcome.value !== null && <Became outcome={outcome.value} />}
    </section>
  );
}

function Became({ outcome: { standing, resolved, unknown, theirs } }: { outcome: Outcome }) {
  const count = (which: Standing) => [...standing.values()].filter((one) => one === which).length;
  const named = (list: Outcome['resolved']) => list.flatMap(({ id }) => theirs.get(id) ?? []);
  return (
    <>
      <p>
        {resolved.length} resolved · {count('persisting')} persisting · {count('new')} new
      </p>
      <ul>
        {named(resolved).map((finding) => (
          <Gone key={finding.id} finding={finding} word="Resolved" />
        ))}
        {named(unknown).map((finding) => (
          <Gone key={finding.id} finding={finding} word="Not checked here" />
        ))}
      </ul>
    </>
  );
}

function Gone({ finding, word }: { finding: Consequence; word: string }) {
  return (
    <li>
      <Check />
      <span>
        <b>
          {word}: {finding.title}
        </b>
        <span class="muted">
          {SEVERITY[finding.severity]} there, {stepsOf(finding)}
        </span>
      </span>
    </li>
  );
}
