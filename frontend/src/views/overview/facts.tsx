/** What can be stated without judging, the most striking first. */
import { formatCount, formatSteps } from '../../charts/numbers';
import type { Fact } from '../../data/types';
import { selectFact, zoomToOnset } from '../../state/actions';
import { factList, layers, selectedFact } from '../../state/derived';
import { facts, run } from '../../state/store';
import { DataNotice } from '../data-notice';
import { statisticInfo } from '../explain';
import { Check, Diamond, Warning } from '../icons';
import { curvesOf, JustBefore } from '../just-before';
import { useStrips } from '../strips';
import { plural } from '../words';

export function Facts() {
  const { value, error, loading } = facts.value;
  const curves = curvesOf(useStrips());
  return (
    <section class="facts" aria-label="Facts">
      <header class="panel-head">
        <h2>What stands out</h2>
        {value !== null && value.length > 0 && (
          <span class="muted">{plural(value.length, 'fact')}, not judged</span>
        )}
      </header>
      <DataNotice error={error} />
      {value === null && loading && <p class="looking muted">Looking through the records…</p>}
      {value !== null && value.length === 0 && <NothingStriking />}
      <ul>
        {factList.value.map((fact) => (
          <li key={fact.id}>
            <FactItem fact={fact} selected={fact === selectedFact.value} />
            {fact === selectedFact.value && <JustBefore step={fact.step} curves={curves} />}
          </li>
        ))}
      </ul>
    </section>
  );
}

function FactItem({ fact, selected }: { fact: Fact; selected: boolean }) {
  return (
    <button
      type="button"
      class={`fact ${fact.kind} ${selected ? 'selected' : ''}`}
      aria-current={selected}
      onClick={() => {
        selectFact(fact);
        zoomToOnset(fact);
      }}
    >
      {fact.kind === 'nonfinite' ? <Warning /> : <Diamond />}
      <span class="fact-body">
        <span class="fact-title">{fact.title}</span>
        <span class="fact-when">{when(fact)}</span>
        {selected && (
          <>
            <span class="fact-detail">{fact.detail}</span>
            <Where fact={fact} />
          </>
        )}
      </span>
    </button>
  );
}

function Where({ fact }: { fact: Fact }) {
  const names = fact.layers.slice(0, 6).map((index) => layers.value[index]?.name ?? '');
  const more = fact.layers.length - names.length;
  const label = statisticInfo(fact.statistic)?.label;
  return (
    <span class="fact-where">
      {label !== undefined && <span class="fact-statistic">{label} of</span>}
      {names.map((name) => (
        <code key={name}>{name}</code>
      ))}
      {more > 0 && <span>and {formatCount(more)} more</span>}
    </span>
  );
}

function when({ step, last_step, layers }: Fact): string {
  const steps = step === last_step ? `step ${formatCount(step)}` : `steps ${formatSteps(step, last_step)}`;
  return layers.length > 1 ? `${steps} · ${plural(layers.length, 'layer')}` : steps;
}

function NothingStriking() {
  const sampling = run.value.value?.sampling;
  return (
    <div class="nothing">
      <Check />
      <div>
        <p class="fact-title">Nothing stands out</p>
        <p class="fact-detail">
          In {plural(sampling?.records ?? 0, 'record')} of {plural(layers.value.length, 'layer')} there is no
          NaN or infinite gradient, no layer without a gradient or with one that is all zero, no steep fall of
          the gradient through the depth, no layer far below its own past, and no update spike.
        </p>
      </div>
    </div>
  );
}
