/** What to try, in order of promise: the first at once, the others behind a word. */
import type { Consequence } from '../../data/findings';
import { Right } from '../icons';
import { Prose } from '../prose';
import { Code } from '../states';
import { plural } from '../words';

type Remedy = Consequence['remedies'][number];

export function Remedies({ remedies }: { remedies: readonly Remedy[] }) {
  const [first, ...others] = remedies;
  if (first === undefined) return null;
  return (
    <section class="remedies" aria-label="What to try">
      <h3>What to try</h3>
      <RemedyItem remedy={first} />
      {others.length > 0 && (
        <details class="disclosure">
          <summary>
            <Right />
            {plural(others.length, 'more thing')} to try
          </summary>
          {others.map((remedy) => (
            <RemedyItem key={remedy.text} remedy={remedy} />
          ))}
        </details>
      )}
    </section>
  );
}

function RemedyItem({ remedy: { text, code } }: { remedy: Remedy }) {
  return (
    <div class="remedy">
      <p>
        <Prose text={text} />
      </p>
      {code !== '' && <Code text={code} />}
    </div>
  );
}
