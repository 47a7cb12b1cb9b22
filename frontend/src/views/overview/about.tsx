/** What belongs to a finding: its layers, how far it is beyond its threshold, what was ruled out, and where to see it. */
import { formatCount, formatValue } from '../../charts/numbers';
import type { Consequence } from '../../data/findings';
import { selectLayer, showFinding } from '../../state/actions';
import { layerIndex, layers } from '../../state/derived';
import { Prose } from '../prose';
import { shownViews } from '../tabs';
import { nameOr, sentence } from '../words';
import { beyondWords } from './words';

/** Layers that are named one by one. */
const NAMED = 6;

export function About({ finding }: { finding: Consequence }) {
  const more = finding.layers.length - NAMED;
  if (finding.layers.length === 0) return null;
  return (
    <p class="finding-layers">
      {finding.layers.slice(0, NAMED).map((index) => (
        <button
          key={index}
          type="button"
          class="chip"
          aria-pressed={index === layerIndex.value}
          onClick={() => selectLayer(index)}
        >
          {nameOr(layers.value[index]?.name ?? '')}
        </button>
      ))}
      {more > 0 && <span>and {formatCount(more)} more</span>}
    </p>
  );
}

export function Beyond({ beyond: { label, measured, threshold } }: Pick<Consequence, 'beyond'>) {
  if (measured === null || threshold === null) return null;
  const far = beyondWords(measured, threshold);
  return (
    <p class="finding-beyond">
      {sentence(label)}: <b>{formatValue(measured, 3)}</b>, threshold {formatValue(threshold, 3)}
      {far !== '' && ` (${far})`}
    </p>
  );
}

export function Excluded({ sentences }: { sentences: readonly string[] }) {
  if (sentences.length === 0) return null;
  return (
    <section class="excluded" aria-label="Ruled out">
      <h3>Ruled out</h3>
      <ul>
        {sentences.map((one) => (
          <li key={one}>
            <Prose text={one} />
          </li>
        ))}
      </ul>
    </section>
  );
}

/** A way to the view that shows it, where the run has that view. */
export function ShowIn({ finding }: { finding: Consequence }) {
  const view = shownViews.value.find(({ id }) => id === finding.view);
  if (view === undefined || view.id === 'overview') return null;
  return (
    <button type="button" class="control slim" onClick={() => showFinding(finding)}>
      Show in {view.label}
    </button>
  );
}
