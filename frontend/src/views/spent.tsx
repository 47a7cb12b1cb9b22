/** What recording took of the training time over the steps, and how often steps were observed. */
import { useMemo } from 'preact/hooks';
import { formatCount } from '../charts/numbers';
import { NO_SKIPS } from '../charts/skips';
import { pageTheme } from '../charts/theme';
import type { Series as Curve, Insets, Level } from '../charts/types';
import { address, getCost } from '../data/client';
import type { Run, Spending } from '../data/types';
import { aboutRun } from '../state/store';
import { type Change, intervalChanges } from './intervals';
import { LinesFigure } from './lines-figure';
import { colour } from './page';
import { runToken } from './swatch';
import { useFollow } from './use-follow';
import { formatCost, plural } from './words';

const INSETS: Insets = { left: 32, right: 72, top: 8, bottom: 24 };
/** Changes of the interval that are listed; of earlier ones only the number is said. */
const LISTED = 5;

export function Spent({ models }: { models: Run['models'] }) {
  const cost = useFollow(() => aboutRun((name) => address('cost', { run: name }), getCost));
  const { value, error, loading } = cost.value;
  const theme = pageTheme().value;
  const curves = useMemo(() => (value ?? []).map(costCurve), [value, theme]);
  const levels = useMemo(() => budgets(models), [models]);
  return (
    <>
      <div class="spent">
        <LinesFigure
          title="Cost over the steps"
          caption="% of training time"
          name="Cost in % of training time"
          error={error}
          series={curves}
          scale="linear"
          levels={levels}
          skips={NO_SKIPS}
          insets={INSETS}
          empty={loading ? '' : 'No cost was recorded'}
        />
      </div>
      {(value ?? []).map((spending) => (
        <Intervals key={spending.model} spending={spending} named={(value ?? []).length > 1} />
      ))}
    </>
  );
}

function costCurve({ model, steps, spans, fraction }: Spending, index: number): Curve {
  return {
    label: model,
    color: colour(runToken(index)),
    steps,
    spans,
    values: fraction.map((share) => 100 * share),
    // A record that says nothing of its cost is none with an infinite one.
    states: Uint8Array.from(fraction, (share) => (Number.isFinite(share) ? 0 : 1)),
  };
}

/** The budgets of the models, as levels. */
function budgets(models: Run['models']): Level[] {
  const all = new Set(models.map(({ schedule }) => schedule.budget).filter((budget) => budget > 0));
  return [...all].map((budget) => ({ value: 100 * budget, label: `budget ${formatCost(budget)}` }));
}

function Intervals({ spending, named }: { spending: Spending; named: boolean }) {
  const changes = intervalChanges(spending);
  const earlier = changes.length - LISTED;
  return (
    <section class="intervals" aria-label="Observed steps">
      <h3>{named && spending.model !== '' ? `Observed steps of ${spending.model}` : 'Observed steps'}</h3>
      <ol>
        {earlier > 0 && <li class="muted">{plural(earlier, 'earlier change')}</li>}
        {changes.slice(-LISTED).map((change) => (
          <li key={change.from}>{intervalWords(change)}</li>
        ))}
      </ol>
    </section>
  );
}

/** "From step 1,024: every 16 steps" */
function intervalWords({ from, interval }: Change): string {
  const often = interval <= 1 ? 'every step' : `every ${plural(interval, 'step')}`;
  return `From step ${formatCount(from)}: ${often}`;
}
