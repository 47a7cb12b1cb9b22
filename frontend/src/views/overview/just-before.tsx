/** What the run did in the records before a fact began; a click moves the cursor there. */
import { formatCount, formatValue } from '../../charts/numbers';
import type { Fact } from '../../data/types';
import { selectStep } from '../../state/actions';
import { steps } from '../../state/derived';
import { recordAt } from '../../state/steps';
import { useStrips } from '../strips';
import { type Change, changeIn } from './before';

/** So many records count as just before. */
const RECORDS = 10;

export function JustBefore({ fact }: { fact: Fact }) {
  const strips = useStrips();
  const onset = recordAt(steps.value, fact.step);
  if (onset < RECORDS) return null;
  const from = steps.value[onset - RECORDS]!;
  const changes = strips
    .flatMap(({ label, curves }) =>
      curves.map((curve) => changeIn(nameOf(label, curve.label), curve, from, fact.step)),
    )
    .filter((change) => change !== null)
    .sort((a, b) => a.step - b.step);
  if (changes.length === 0) return null;
  return (
    <section class="just-before" aria-label="Just before">
      <h3>Just before</h3>
      <ol>
        {changes.map((change) => (
          <li key={change.name}>
            <button type="button" onClick={() => selectStep(change.step)}>
              <b>{formatCount(change.step)}</b>
              <span>{words(change)}</span>
            </button>
          </li>
        ))}
      </ol>
    </section>
  );
}

/** "Loss, train" */
function nameOf(strip: string, curve: string): string {
  return curve === '' ? strip : `${strip}, ${curve}`;
}

function words({ name, value, factor }: Change): string {
  if (Number.isNaN(value)) return `${name}: NaN or infinite`;
  const times = factor >= 1 ? `${formatValue(factor)}×` : `1/${formatCount(1 / factor)} of`;
  return `${name} ${formatValue(value, 3)}, ${times} its median before`;
}
