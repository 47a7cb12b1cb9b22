/** Every unit of the run that is in one state at its last record. */
import { beginningOf, type UnitLife } from '../../charts/lifelines/life';
import type { Table } from '../../charts/types';
import { type DeadSeries, UNIT, type UnitPage, type UnitSort } from '../../data/types';
import { countAtEnd } from './counts';
import { lifeOf, PAGE } from './pages';

export interface ListedUnit {
  readonly activation: number;
  readonly unit: number;
  /** First step of the state, and the samples read since then. */
  readonly since: number;
  readonly samples: number;
  readonly fired: number;
  readonly mean: number;
  readonly largest: number;
}

export interface PageWanted {
  readonly activation: number;
  readonly first: number;
  readonly count: number;
  readonly sort: UnitSort;
}

/** Fetch pages until every unit in `state` that the counts know of is found; the activations one after another. */
export async function listUnits(
  dead: DeadSeries,
  state: number,
  fetchPage: (wanted: PageWanted) => Promise<UnitPage>,
): Promise<ListedUnit[]> {
  const found: ListedUnit[] = [];
  const sort = state === UNIT.sparse ? 'activity' : state === UNIT.dead ? 'death' : 'index';
  for (const [place, activation] of dead.activations.entries()) {
    let missing = countAtEnd(dead, place, state);
    for (let first = 0; missing > 0 && first < dead.units[place]!; first += PAGE) {
      const page = await fetchPage({ activation, first, count: PAGE, sort });
      const listed = inState(page, state);
      found.push(...listed);
      missing -= listed.length;
    }
  }
  return found;
}

/** The units of a page whose last record says `state`. */
export function inState(page: UnitPage, state: number): ListedUnit[] {
  const life = lifeOf(page);
  return page.unit.flatMap((unit, place) => {
    const one = life(place);
    const record = one === null ? -1 : lastOf(one);
    if (one === null || record < 0 || one.states[record] !== state) return [];
    const first = beginningOf(one.states, record);
    return [
      {
        activation: page.activation,
        unit,
        since: one.columns.first[first]!,
        samples: sum(page.samples.subarray(first, record + 1)),
        fired: one.fired[record]!,
        mean: one.mean[record]!,
        largest: one.largest[record]!,
      },
    ];
  });
}

/** The last record in which a unit was recorded. */
function lastOf({ states }: UnitLife): number {
  let record = states.length - 1;
  while (record >= 0 && states[record] === UNIT.notRecorded) record--;
  return record;
}

function sum(values: Float32Array): number {
  return values.reduce((total, value) => total + (Number.isFinite(value) ? value : 0), 0);
}

export function listTable(
  units: readonly ListedUnit[],
  names: readonly string[],
  layers: readonly string[],
): Table {
  return {
    columns: ['layer', 'activation', 'unit', 'since step', 'samples since', 'fired', 'mean', 'largest'],
    rowCount: units.length,
    row(index) {
      const { activation, unit, since, samples, ...last } = units[index]!;
      const number = (value: number) => (Number.isFinite(value) ? value : null);
      return [
        layers[activation] ?? '',
        names[activation] ?? '',
        unit,
        since,
        samples,
        number(last.fired),
        number(last.mean),
        number(last.largest),
      ];
    },
  };
}
