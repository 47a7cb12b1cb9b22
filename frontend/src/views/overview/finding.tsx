/** One finding; the selected one says what happened, what to try, and what follows from it. */
import type { Consequence } from '../../data/findings';
import { selectFinding, zoomToOnset } from '../../state/actions';
import { selectedFinding } from '../../state/findings';
import { Critical, Diamond, Right, Warning } from '../icons';
import { curvesOf, JustBefore } from '../just-before';
import { Prose } from '../prose';
import { useStrips } from '../strips';
import { plural } from '../words';
import { About, Beyond, Excluded, ShowIn } from './about';
import { Remedies } from './remedies';
import { StandingOf } from './versus';
import { firstOf, SEVERITY, stepsOf } from './words';

const SIGN = { critical: Critical, warning: Warning, info: Diamond };

export interface FindingItemProps {
  readonly finding: Consequence;
  readonly consequences?: readonly Consequence[];
}

export function FindingItem({ finding, consequences = [] }: FindingItemProps) {
  const selected = selectedFinding.value?.id === finding.id;
  const Sign = SIGN[finding.severity];
  return (
    <li class={`finding is-${finding.severity} ${selected ? 'selected' : ''}`}>
      <button type="button" class="finding-head" aria-current={selected} onClick={() => choose(finding)}>
        <Sign />
        <span class="finding-title">{finding.title}</span>
        <span class="finding-when">
          <b>{SEVERITY[finding.severity]}</b> {where(finding)} <StandingOf id={finding.id} />
        </span>
      </button>
      {selected && <Details finding={finding} />}
      <Consequences of={finding} list={consequences} />
    </li>
  );
}

function choose(finding: Consequence): void {
  selectFinding(finding);
  if (finding.first_step !== null) zoomToOnset({ step: finding.first_step });
}

function where(finding: Consequence): string {
  const layers = finding.layers.length > 1 ? [plural(finding.layers.length, 'layer')] : [];
  return [stepsOf(finding), ...layers].filter(Boolean).join(' · ');
}

function Details({ finding }: { finding: Consequence }) {
  const curves = curvesOf(useStrips());
  return (
    <div class="finding-details">
      <p class="finding-message">
        <Prose text={finding.message} />
      </p>
      <About finding={finding} />
      <Remedies remedies={finding.remedies} />
      <Beyond beyond={finding.beyond} />
      {finding.first_step !== null && <JustBefore step={finding.first_step} curves={curves} />}
      <Excluded sentences={finding.excluded} />
      <ShowIn finding={finding} />
    </div>
  );
}

function Consequences({ of, list }: { of: Consequence; list: readonly Consequence[] }) {
  if (list.length === 0) return null;
  const open = list.some(({ id }) => id === selectedFinding.value?.id);
  const titles = firstOf(list.map(({ title }) => title));
  return (
    <details class="disclosure consequences" open={open}>
      <summary>
        <Right />
        {plural(list.length, 'consequence')}: {titles}
      </summary>
      <ul aria-label={`What follows from ${of.title}`}>
        {list.map((finding) => (
          <FindingItem key={finding.id} finding={finding} />
        ))}
      </ul>
    </details>
  );
}
