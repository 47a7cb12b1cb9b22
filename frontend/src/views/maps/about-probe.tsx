/** What a probe takes and what it leaves out. */
import type { Probe } from '../../data/maps';
import { Omissions } from '../omissions';
import { plural } from '../words';
import { budgetWords } from './words';

/** Heading of what was. */
export const LEFT_OUT = 'Left out or made smaller';

export function AboutProbe({ probe }: { probe: Probe }) {
  const { bytes, budget, steps } = probe;
  return (
    <section class="recorded" aria-label="What this probe takes">
      <h3>Recorded</h3>
      <p>
        {plural(steps.length, 'step')}, {plural(probe.maps.length, 'module')}
      </p>
      <p>{budgetWords(probe)}</p>
      {budget > 0 && (
        <span class="budget" aria-hidden="true">
          <i style={{ width: `${Math.min(100, (100 * bytes) / budget)}%` }} />
        </span>
      )}
      <Omissions omissions={probe.omissions} title={LEFT_OUT} />
    </section>
  );
}
