/** The answer in a sentence: how many units are dead, where, since when, and over how many samples. */
import { formatCount, formatShare } from '../../charts/numbers';
import { type Activation, type DeadSeries, type Death, type Series, STATE } from '../../data/types';
import { UNIT } from '../../lib/units';
import { Check, Warning } from '../icons';
import { nameOr, plural } from '../words';
import { countAtEnd, judgedOver, LISTED, lastRecord, samplesSince, totalsOf } from './counts';

export interface VerdictProps {
  readonly dead: DeadSeries;
  readonly deaths: readonly Death[];
  readonly activations: readonly Activation[];
  /** The selected one, or null. */
  readonly index: number | null;
  /** Share of zeros of every activation. */
  readonly zeros: Series | null;
}

export function Verdict({ dead, deaths, activations, index, zeros }: VerdictProps) {
  const totals = totalsOf(dead, UNIT.dead);
  const place = index === null ? -1 : dead.activations.indexOf(index);
  const own = place < 0 ? 0 : countAtEnd(dead, place, UNIT.dead);
  const name = nameOr(activations[index ?? -1]?.label ?? '');
  const all = plural(totals.units, 'unit');
  const sparse = place < 0 ? '' : sparseWords(dead, place, activations[index!]!, zeros);
  return (
    <div class={totals.count > 0 ? 'verdict ill' : 'verdict'} role="status">
      {totals.count > 0 ? <Warning /> : <Check />}
      <div>
        {totals.count === 0 && (
          <p class="verdict-title">
            No dead units. {all} of {plural(totals.activations, 'activation')}, each judged over at least{' '}
            {plural(totals.samples, 'sample')}
          </p>
        )}
        {own > 0 && (
          <p class="verdict-title">
            <b>
              {formatCount(own)} of {plural(dead.units[place]!, 'unit')} of {name} {own === 1 ? 'is' : 'are'}{' '}
              dead
            </b>
            {sinceWords(deaths, index!)}
          </p>
        )}
        {own === 0 && totals.count > 0 && (
          <p class="verdict-title">
            {place < 0 ? 'This layer has no units to judge' : `No dead unit in ${name}`}
          </p>
        )}
        <p class="secondary">
          {own > 0 && <>{overWords(dead, place, lastingDeaths(deaths, index!))} </>}
          {own === 0 && totals.count > 0 && place >= 0 && (
            <>
              {plural(dead.units[place]!, 'unit')}, judged over at least{' '}
              {plural(judgedOver(dead, place, lastRecord(dead, place)), 'sample')}.{' '}
            </>
          )}
          {sparse !== '' && <>{sparse} </>}
          {totals.count > 0 && (
            <>
              In the whole network: {formatCount(totals.count)} of {all}, in {formatCount(totals.affected)} of{' '}
              {plural(totals.activations, 'activation')}.
            </>
          )}
        </p>
      </div>
    </div>
  );
}

/** " since step 424", or from when to when they died. */
function sinceWords(deaths: readonly Death[], index: number): string {
  const steps = lastingDeaths(deaths, index);
  if (steps.length === 0) return '';
  const [first, last] = [steps.reduce((a, b) => Math.min(a, b)), steps.reduce((a, b) => Math.max(a, b))];
  return first === last
    ? ` since step ${formatCount(first)}`
    : `, died between the steps ${formatCount(first)} and ${formatCount(last)}`;
}

/** Steps at which units of an activation died that did not all come back. */
function lastingDeaths(deaths: readonly Death[], index: number): number[] {
  return deaths
    .filter(({ activation, count, revived }) => activation === index && revived < count)
    .map(({ step }) => step);
}

/** "Each fired in 0 of at least 2,048 samples": those since the last death, where all deaths are known. */
function overWords(dead: DeadSeries, place: number, deaths: readonly number[]): string {
  const judged = judgedOver(dead, place, lastRecord(dead, place));
  const known = deaths.length > 0 && deaths.length < LISTED;
  const last = known ? deaths.reduce((a, b) => Math.max(a, b)) : Number.POSITIVE_INFINITY;
  const samples = Math.max(judged, samplesSince(dead, place, last));
  return `Each fired in 0 of at least ${plural(samples, 'sample')}.`;
}

/** A layer that puts out mostly zeros looks dead, and is not. */
function sparseWords(dead: DeadSeries, place: number, about: Activation, zeros: Series | null): string {
  const silent = [UNIT.dead, UNIT.silent].some((state) => countAtEnd(dead, place, state) > 0);
  const share = zeros === null || silent ? null : lastNumber(zeros, dead.activations[place]!);
  if (about.response !== 'rectifier' || share === null || share < MANY) return '';
  return `${about.label} puts out ${formatShare(share)} zeros, but no unit is dead: it is sparse.`;
}

/** From this share of zeros on people ask. */
const MANY = 0.5;

function lastNumber({ rows, steps, states, values }: Series, row: number): number | null {
  const place = rows.indexOf(row);
  for (let cell = (place + 1) * steps.length - 1; place >= 0 && cell >= place * steps.length; cell--)
    if (states[cell] === STATE.number) return values[cell]!;
  return null;
}
