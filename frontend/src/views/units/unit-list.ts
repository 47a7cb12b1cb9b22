/** Every unit of the run that is in one state at its last record, and those that are redundant. */
import { beginningOf, type UnitLife } from '../../charts/lifelines/life';
import type { Entry, Table } from '../../charts/types';
import type { DeadSeries, Redundancy, Twin, UnitPage, UnitSort } from '../../data/types';
import { UNIT } from '../../lib/units';
import { countAtEnd } from './counts';
import { BATCH, lifeOf } from './pages';

/** A unit that is in the chosen state. */
export interface InState {
  /** First step of the state, and the samples read since then. */
  readonly since: number;
  readonly samples: number;
  readonly fired: number;
  readonly mean: number;
  readonly largest: number;
}

/** A unit beside its twin. */
export interface Compared extends Omit<Twin, 'unit'> {
  /** Over which both were compared. */
  readonly samples: number;
}

export interface ListedUnit {
  readonly activation: number;
  readonly unit: number;
  readonly state?: InState;
  readonly twin?: Compared;
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
    for (let first = 0; missing > 0 && first < dead.units[place]!; first += BATCH) {
      const page = await fetchPage({ activation, first, count: BATCH, sort });
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
        state: {
          since: one.columns.first[first]!,
          samples: sum(page.samples.subarray(first, record + 1)),
          fired: one.fired[record]!,
          mean: one.mean[record]!,
          largest: one.largest[record]!,
        },
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

/** The redundant units of a run, layer by layer. */
export function redundantUnits({ redundant }: Redundancy): ListedUnit[] {
  return redundant.flatMap(({ activation, samples, units }) =>
    units.map(({ unit, ...twin }) => ({ activation, unit, twin: { ...twin, samples } })),
  );
}

/** Both lists as one, by activation and unit: a unit can be sparse and redundant. */
export function merged(some: readonly ListedUnit[], others: readonly ListedUnit[]): ListedUnit[] {
  const units = new Map<string, ListedUnit>();
  for (const one of [...some, ...others]) {
    const key = `${one.activation} ${one.unit}`;
    units.set(key, { ...units.get(key), ...one });
  }
  return [...units.values()].sort((a, b) => a.activation - b.activation || a.unit - b.unit);
}

/** What a list holds. */
export interface Listed {
  /** What the state is called, where units in it are listed. */
  readonly state: string | null;
  /** Whether redundant units are listed. */
  readonly redundant: boolean;
}

interface Column {
  readonly name: string;
  readonly of: (unit: ListedUnit) => Entry;
}

export function listTable(
  units: readonly ListedUnit[],
  listed: Listed,
  names: readonly string[],
  layers: readonly string[],
): Table {
  const columns: readonly Column[] = [
    { name: 'layer', of: ({ activation }) => layers[activation] ?? '' },
    { name: 'activation', of: ({ activation }) => names[activation] ?? '' },
    { name: 'unit', of: ({ unit }) => unit },
    ...(listed.redundant ? [{ name: 'what', of: (unit: ListedUnit) => whatWords(unit, listed.state) }] : []),
    ...(listed.redundant ? TWIN_COLUMNS : []),
    ...(listed.state === null ? [] : STATE_COLUMNS),
  ];
  return {
    columns: columns.map(({ name }) => name),
    rowCount: units.length,
    row: (index) => columns.map(({ of }) => of(units[index]!)),
  };
}

const number = (value: number | undefined): Entry =>
  value !== undefined && Number.isFinite(value) ? value : null;

const STATE_COLUMNS: readonly Column[] = [
  { name: 'since step', of: ({ state }) => number(state?.since) },
  { name: 'samples since', of: ({ state }) => number(state?.samples) },
  { name: 'fired', of: ({ state }) => number(state?.fired) },
  { name: 'mean', of: ({ state }) => number(state?.mean) },
  { name: 'largest', of: ({ state }) => number(state?.largest) },
];

const TWIN_COLUMNS: readonly Column[] = [
  { name: 'twin', of: ({ twin }) => number(twin?.twin) },
  { name: 'largest difference', of: ({ twin }) => number(twin?.difference) },
  { name: 'samples compared', of: ({ twin }) => number(twin?.samples) },
];

/** "dead", "same as its twin", "sparse, opposite of its twin" */
function whatWords({ state, twin }: ListedUnit, name: string | null): string {
  const relation = twin && (twin.opposite ? 'opposite of its twin' : 'same as its twin');
  return [state && name, relation].filter(Boolean).join(', ');
}
