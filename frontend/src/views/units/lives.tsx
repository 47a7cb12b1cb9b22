/** The units of the chosen activation over the steps, in the order that one chooses. */
import { type Signal, signal, useSignal, useSignalEffect } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { type Columns, placeColumns } from '../../charts/columns';
import { LifeKey } from '../../charts/lifelines/LifeKey';
import { LifeLines } from '../../charts/lifelines/LifeLines';
import type { Hover, Insets, Selection } from '../../charts/types';
import type { Activation, DeadSeries, Redundancy, UnitSort } from '../../data/types';
import { UNIT } from '../../lib/units';
import { selectUnit, stateNames } from '../../state/activations';
import { recordedStep } from '../../state/derived';
import * as selection from '../../state/selection';
import { bound, Choice } from '../choice';
import { DataNotice } from '../data-notice';
import { Figure } from '../figure';
import { hover, onSelect, steps } from '../page';
import { say } from '../readout';
import { nameOr, plural } from '../words';
import { countOf } from './counts';
import { fetchLives, type Units } from './pages';
import { twinMarks, whyNotCompared } from './twins';

const SORTS = [
  { id: 'death', label: 'By death' },
  { id: 'activity', label: 'By activity' },
  { id: 'index', label: 'By index' },
] as const;

/** Kept while one looks at other activations and views. */
export const sort = signal<UnitSort>('death');

/** Order of the states in the key: the ill ones, then the others. */
const KEY = [
  UNIT.dead,
  UNIT.alive,
  UNIT.sparse,
  UNIT.revived,
  UNIT.saturated,
  UNIT.frozen,
  UNIT.silent,
  UNIT.neverRun,
  UNIT.notRecorded,
] as const;

export interface LivesProps {
  readonly dead: DeadSeries;
  readonly about: Activation;
  /** Place of the activation in `dead`. */
  readonly place: number;
  readonly units: Units;
  readonly unit: number | null;
  readonly redundancy: Redundancy | null;
  readonly insets: Insets;
}

export function Lives({ dead, about, place, units, unit, redundancy, insets }: LivesProps) {
  const columns = useMemo(() => columnsOf(units), [units.any]);
  const present = useMemo(() => KEY.filter((state) => occurs(dead, place, state)), [dead, place]);
  const activation = dead.activations[place]!;
  const twins = useMemo(() => twinMarks(redundancy, activation), [redundancy, activation]);
  const signs = useMemo(
    () => [...new Set([...twins.values()].map(({ opposite }) => opposite))].sort(),
    [twins],
  );
  const own = useOwnRows(hover);
  const selected: Selection = {
    row: unit === null ? null : units.rowOf(unit),
    step: recordedStep.value,
  };
  const title = `Units of ${nameOr(about.label)}`;
  return (
    <Figure
      title={title}
      class="unit-lives"
      heading={
        <>
          <h3 class="clip">{nameOr(about.label)}</h3>
          <span class="caption clip">
            {captionOf(units.total, about, whyNotCompared(redundancy, activation))}
          </span>
          <Choice label="Order" options={SORTS} {...bound(sort)} />
        </>
      }
    >
      {(exportRef) => (
        <>
          <DataNotice error={units.error} />
          <LifeKey states={present} names={stateNames.value} twins={signs} />
          <div class="lives" aria-busy={units.loading}>
            <LifeLines
              title={title}
              total={units.any === null && !units.loading ? 0 : units.total}
              life={units.life}
              fetchLives={(count) => fetchLives(activation, sort.value, count)}
              names={stateNames.value}
              twins={twins}
              columns={columns}
              steps={steps}
              hover={own}
              selection={selected}
              reveal={`${selection.run.value} ${activation} ${selection.unit.value} ${sort.value}`}
              onSelect={({ row, step }) => {
                const life = row === undefined || row === null ? null : units.life(row);
                if (life !== null) selectUnit(life.unit);
                if (step !== undefined) onSelect({ step });
              }}
              onRows={units.onRows}
              onReadout={say}
              insets={insets}
              exportRef={exportRef}
              empty={units.error === null ? 'No unit has been recorded yet' : ''}
            />
          </div>
        </>
      )}
    </Figure>
  );
}

/** "64 channels", and why they were not compared with each other where they were not. */
function captionOf(total: number, { unit }: Activation, reason: string): string {
  const units = plural(total, unit || 'unit');
  return reason === '' ? units : `${units}, not compared with each other: ${reason}`;
}

const NONE: Columns = placeColumns(new Float64Array(0), new Float64Array(0));

function columnsOf({ any }: Units): Columns {
  return any === null ? NONE : placeColumns(any.steps, any.spans);
}

function occurs(dead: DeadSeries, place: number, state: number): boolean {
  return dead.steps.some((_, record) => countOf(dead, place, state, record) > 0);
}

/** A hover whose rows are of one chart, and whose step is that of the page. */
function useOwnRows(shared: Signal<Hover | null>): Signal<Hover | null> {
  const own = useSignal<Hover | null>(null);
  useSignalEffect(() => {
    const step = own.value?.step;
    if (step !== shared.peek()?.step) shared.value = step === undefined ? null : { step, row: null };
  });
  useSignalEffect(() => {
    const step = shared.value?.step;
    if (step !== own.peek()?.step) own.value = step === undefined ? null : { step, row: null };
  });
  return own;
}
