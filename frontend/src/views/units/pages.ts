/** The units of one activation, fetched a page at a time as they come into view. */
import { type ReadonlySignal, type Signal, useComputed, useSignal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { placeColumns } from '../../charts/columns';
import type { UnitLife } from '../../charts/lifelines/life';
import { getUnits } from '../../data/client';
import type { DataError } from '../../data/errors';
import type { UnitPage, UnitSort } from '../../data/types';
import { aboutUnits, activations, thresholds } from '../../state/activations';
import * as selection from '../../state/selection';
import { useFollow } from '../use-follow';

/** Rows of a page: more than any screen shows at once, so that two neighbours always hold what is in view. */
export const PAGE = 512;

/** The page that holds row `from`, and the neighbour that rows before or after it are on. */
export function pagesFor(from: number): readonly [even: number, odd: number] {
  const page = Math.floor(from / PAGE);
  const neighbour = from % PAGE < PAGE / 2 && page > 0 ? page - 1 : page + 1;
  return page % 2 === 0 ? [page, neighbour] : [neighbour, page];
}

export interface Units {
  readonly total: number;
  /** The unit in a row, or null while it is fetched. */
  readonly life: (row: number) => UnitLife | null;
  /** The row of a unit, or null where it is on no page that is here. */
  readonly rowOf: (unit: number) => number | null;
  readonly any: UnitPage | null;
  readonly error: DataError | null;
  readonly loading: boolean;
  readonly onRows: (from: number) => void;
}

export function useUnits(activation: ReadonlySignal<number | null>, sort: Signal<UnitSort>): Units {
  const from = useSignal(0);
  const total = useComputed(() => activations.value[activation.value ?? -1]?.units ?? 0);
  const wanted = useComputed(() => pagesFor(Math.min(from.value, Math.max(0, total.value - 1))));
  const request = (page: number) => {
    const first = page * PAGE;
    return activation.value === null || first >= total.value
      ? null
      : aboutUnits({ activation: activation.value, first, count: PAGE, sort: sort.value });
  };
  const even = useFollow(() => request(wanted.value[0])).value;
  const odd = useFollow(() => request(wanted.value[1])).value;
  const [evenPage, oddPage] = wanted.value;
  const held = useMemo(
    () =>
      [
        { page: evenPage, value: even.value },
        { page: oddPage, value: odd.value },
      ].filter((one) => one.value !== null) as Held[],
    [evenPage, oddPage, even.value, odd.value],
  );
  const life = useMemo(() => lifeIn(held), [held]);
  return {
    total: total.value,
    life,
    rowOf: (unit) => rowIn(held, unit),
    any: held[0]?.value ?? null,
    error: even.error ?? odd.error,
    loading: even.loading || odd.loading,
    onRows: useMemo(
      () => (row: number) => {
        from.value = row;
      },
      [from],
    ),
  };
}

interface Held {
  readonly page: number;
  readonly value: UnitPage;
}

function rowIn(held: readonly Held[], unit: number): number | null {
  for (const { page, value } of held) {
    const place = value.unit.indexOf(unit);
    if (place >= 0) return page * PAGE + place;
  }
  return null;
}

function lifeIn(held: readonly Held[]): (row: number) => UnitLife | null {
  const lives = new Map(held.map(({ page, value }) => [page, lifeOf(value)]));
  return (row) => lives.get(Math.floor(row / PAGE))?.(row % PAGE) ?? null;
}

/** Units that are asked for at once where many are needed: so few that the page stays smooth when they come. */
export const BATCH = 1024;

/** The units of the first `count` rows, whether they are in view or not. */
export async function fetchLives(activation: number, sort: UnitSort, count: number): Promise<UnitLife[]> {
  const run = selection.run.peek() ?? '';
  const lives: UnitLife[] = [];
  for (let first = 0; first < count; first += BATCH) {
    const query = {
      run,
      activation,
      first,
      count: Math.min(BATCH, count - first),
      sort,
      ...thresholds.peek(),
    };
    const page = await getUnits(query, new AbortController().signal);
    const life = lifeOf(page);
    lives.push(...page.unit.map((_, place) => life(place)!));
  }
  return lives;
}

/** The units of a page as the charts take them. */
export function lifeOf(page: UnitPage): (place: number) => UnitLife | null {
  const length = page.steps.length;
  const columns = placeColumns(page.steps, page.spans);
  const made: UnitLife[] = [];
  return (place) => {
    if (place >= page.unit.length) return null;
    const cut = <T extends Float32Array | Uint8Array>(matrix: T) =>
      matrix.subarray(place * length, (place + 1) * length);
    made[place] ??= {
      unit: page.unit[place]!,
      columns,
      states: cut(page.states),
      fired: cut(page.fired),
      mean: cut(page.mean),
      std: cut(page.std),
      largest: cut(page.largest),
      samples: page.samples,
      counted: page.counted,
    };
    return made[place];
  };
}
