/** What a probe takes and what it leaves out. */
import type { Probe } from '../../data/maps';
import { plural } from '../words';
import { budgetWords } from './words';

export function AboutProbe({ probe }: { probe: Probe }) {
  const { bytes, budget, steps } = probe;
  return (
    <section class="about-probe" aria-label="What this probe takes">
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
      <Omissions probe={probe} />
    </section>
  );
}

export function Omissions({ probe: { omissions } }: { probe: Probe }) {
  if (omissions.length === 0) return null;
  return (
    <>
      <h3>Left out or made smaller</h3>
      <ul class="omissions">
        {omissions.map(({ subject, reason }, index) => (
          <li key={index}>
            <b>{subject}</b>: {reason}
          </li>
        ))}
      </ul>
    </>
  );
}
