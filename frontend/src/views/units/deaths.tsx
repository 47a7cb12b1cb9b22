/** Moments of death, the largest first; the one that the page is about says what happened just before it. */
import { formatCount } from '../../charts/numbers';
import type { DataError } from '../../data/errors';
import type { DeadSeries, Death } from '../../data/types';
import { onsetOf, selectStep, zoomToOnset } from '../../state/actions';
import { activations, selectActivation } from '../../state/activations';
import * as selection from '../../state/selection';
import { DataNotice } from '../data-notice';
import { Diamond } from '../icons';
import { curvesOf, JustBefore, type NamedCurve } from '../just-before';
import { labelOf } from '../page';
import { useStrips } from '../strips';
import { nameOr, plural } from '../words';
import type { Causes } from './causes';
import { LISTED } from './counts';

export interface DeathsProps {
  readonly dead: DeadSeries;
  readonly deaths: readonly Death[];
  readonly error: DataError | null;
  /** The one that the page is about. */
  readonly moment: Death | null;
  readonly causes: Causes;
}

export function Deaths({ dead, deaths, error, moment, causes }: DeathsProps) {
  return (
    <section class="deaths facts" aria-label="Moments of death">
      <header class="panel-head">
        <h2>Moments of death</h2>
        {deaths.length > 0 && <span class="muted">largest first</span>}
      </header>
      <DataNotice error={error} />
      {deaths.length === 0 && error === null && (
        <p class="looking muted">No unit fell silent for long enough to be called dead.</p>
      )}
      <ul>
        {deaths.map((death) => (
          <li key={`${death.activation} ${death.step}`}>
            <Moment death={death} selected={death === moment} />
            {death === moment && <Before death={death} dead={dead} causes={causes} />}
          </li>
        ))}
      </ul>
      {deaths.length >= LISTED && <p class="looking muted">These are the {LISTED} largest.</p>}
    </section>
  );
}

function Moment({ death, selected }: { death: Death; selected: boolean }) {
  const { activation, count, of, samples, revived } = death;
  const name = nameOr(activations.value[activation]?.label ?? '');
  return (
    <button
      type="button"
      class={`fact ${selected ? 'selected' : ''}`}
      aria-current={selected}
      onClick={() => choose(death)}
    >
      <Diamond />
      <span class="fact-body">
        <span class="fact-title">
          Step {formatCount(death.step)}: {formatCount(count)} of {plural(of, 'unit')}
        </span>
        <span class="fact-when">{name}</span>
        {selected && (
          <span class="fact-detail">
            {count === 1 ? 'It' : 'None of them'} fired in {count === 1 ? 'none of ' : ''}at least{' '}
            {plural(samples, 'sample')} from then on.
            {revived > 0 &&
              ` ${revived === count ? (count === 1 ? 'It' : 'All') : formatCount(revived)} came back later.`}
          </span>
        )}
        {!selected && revived > 0 && <span class="fact-when">{formatCount(revived)} came back</span>}
      </span>
    </button>
  );
}

function choose(death: Death): void {
  selectActivation(death.activation);
  selection.unit.value = death.units[0] ?? null;
  selectStep(death.step);
}

function Before({ death, dead, causes }: { death: Death; dead: DeadSeries; causes: Causes }) {
  const strips = useStrips().filter(({ id }) => id !== 'norm');
  const record = dead.steps.findIndex((last) => last >= death.step);
  const before = dead.steps[record - 1];
  const from = before === undefined ? undefined : before - Math.max(1, dead.spans[record - 1] || 1) + 1;
  if (before === undefined)
    return <p class="just-before">From its first record on: nothing is known of the time before.</p>;
  return (
    <>
      <JustBefore
        step={death.step}
        from={from}
        curves={[...causeCurves(causes), ...curvesOf(strips)]}
        unchanged
      />
      {selection.zoom.value === null && onsetOf(death) !== null && (
        <p class="just-before">
          <button type="button" class="control slim" onClick={() => zoomToOnset(death)}>
            Zoom to step {formatCount(death.step)}
          </button>
        </p>
      )}
    </>
  );
}

function causeCurves({ layer, ratio, gradient }: Causes): NamedCurve[] {
  const named = (statistic: string, curve: Causes['ratio']) =>
    curve === null ? [] : [{ name: `${labelOf(statistic).label} of ${layer}`, curve }];
  return [...named('update_ratio', ratio), ...named('gradient_norm', gradient)];
}
