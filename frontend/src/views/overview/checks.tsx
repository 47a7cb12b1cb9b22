/** What was checked: how many rules passed, and why others could not be checked. */
import type { Report } from '../../data/findings';
import { moved } from '../../state/findings';
import { Check, Right } from '../icons';
import { plural } from '../words';

export function Checks({ report: { passed, not_checked } }: { report: Report }) {
  return (
    <details class="disclosure checks">
      <summary>
        <Right />
        <Check />
        {plural(passed.length, 'check')} passed
        {not_checked.length > 0 && `, ${not_checked.length} not checked`}
      </summary>
      {not_checked.length > 0 && (
        <>
          <h3>Not checked</h3>
          <dl>
            {not_checked.map(({ rule, title, reason }) => (
              <div key={rule}>
                <dt>{title}</dt>
                <dd>{reason}</dd>
              </div>
            ))}
          </dl>
        </>
      )}
      {passed.length > 0 && (
        <>
          <h3>Passed</h3>
          <p>{passed.map(({ title }) => title).join(' · ')}</p>
        </>
      )}
    </details>
  );
}

/** The calm sentence about a run in which nothing is wrong. */
export function NothingWrong({ report: { checks } }: { report: Report }) {
  const count = moved.value.size;
  return (
    <p class="nothing">
      <Check />
      <span>
        {checks === 0
          ? 'Too little was recorded to check this run.'
          : `${plural(checks, 'check')} found nothing wrong with this run.`}
        {count > 0 && ` ${plural(count, 'threshold')} ${count === 1 ? 'was' : 'were'} moved.`}
      </span>
    </p>
  );
}
