/** All units of the run in the chosen state, and those that are redundant, one a line, to be saved or copied from. */
import { useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { DataTable } from '../../charts/DataTable';
import { saveCsv } from '../../charts/exports';
import { formatCount } from '../../charts/numbers';
import { address, getUnits } from '../../data/client';
import type { Resource } from '../../data/resource';
import type { DeadSeries, Redundancy } from '../../data/types';
import { activations, stateNames, thresholds } from '../../state/activations';
import { layers } from '../../state/derived';
import * as selection from '../../state/selection';
import { aboutRun } from '../../state/store';
import { Choice } from '../choice';
import { DataNotice } from '../data-notice';
import { useFollow } from '../use-follow';
import { plural, sentence } from '../words';
import { totalsOf } from './counts';
import { chosenState } from './shares';
import { notComparedWords } from './twins';
import { type Listed, type ListedUnit, listTable, listUnits, merged, redundantUnits } from './unit-list';

export interface ListingProps {
  readonly dead: DeadSeries;
  readonly redundancy: Resource<Redundancy>;
}

export function Listing({ dead, redundancy }: ListingProps) {
  const root = useRef<HTMLElement>(null);
  const state = chosenState();
  const name = stateNames.value[state] ?? '';
  const listed = listedBy(selection.list.value, name);
  const inState = useInState(dead, listed.state === null ? null : state, useSeen(root));
  const twins = useMemo(
    () => (redundancy.value === null ? null : redundantUnits(redundancy.value)),
    [redundancy.value],
  );
  const units = unitsOf(listed, inState.value, twins);
  const table = useMemo(
    () =>
      listTable(
        units ?? [],
        listed,
        activations.value.map(({ label }) => label),
        layerNames(),
      ),
    [units, selection.list.value, name, activations.value],
  );
  const total = totalsOf(dead, state);
  const title = titleOf(listed);
  const error =
    (listed.state === null ? null : inState.error) ?? (listed.redundant ? redundancy.error : null);
  return (
    <section ref={root} class="listing" aria-label={title}>
      <header class="figure-head">
        <h3>{title}</h3>
        <Choice
          label="List"
          options={[
            { id: 'state', label: sentence(name), count: formatCount(total.count) },
            {
              id: 'redundant',
              label: 'Redundant',
              count: twins === null ? undefined : formatCount(twins.length),
            },
            { id: 'all', label: 'Both' },
          ]}
          chosen={selection.list.value}
          onChoose={(id) => {
            selection.list.value = id;
          }}
        />
        <span class="caption clip">{captionOf(listed, total, twins)}</span>
        <span class="space" />
        <button
          type="button"
          class="control slim"
          disabled={units === null}
          onClick={() => saveCsv({ name: title, table: () => table })}
        >
          Save as CSV
        </button>
      </header>
      <DataNotice error={error} />
      {listed.redundant && redundancy.value !== null && <NotCompared known={redundancy.value} />}
      {units === null ? (
        <p class="muted">{error === null ? 'Reading the units…' : ''}</p>
      ) : units.length === 0 ? (
        <p class="muted">There is none.</p>
      ) : (
        <div class="listing-table">
          <DataTable title={title} table={table} />
        </div>
      )}
    </section>
  );
}

function NotCompared({ known }: { known: Redundancy }) {
  const words = notComparedWords(known);
  return words === '' ? null : (
    <p class="muted clip" title={words}>
      Not compared: {words}
    </p>
  );
}

function listedBy(list: string, name: string): Listed {
  return { state: list === 'redundant' ? null : name, redundant: list === 'redundant' || list === 'all' };
}

/** "All dead units", "All dead and redundant units" */
function titleOf({ state, redundant }: Listed): string {
  return `All ${[state, redundant ? 'redundant' : null].filter((word) => word !== null).join(' and ')} units`;
}

function captionOf(
  { state, redundant }: Listed,
  total: ReturnType<typeof totalsOf>,
  twins: readonly ListedUnit[] | null,
): string {
  const parts: string[] = [];
  if (state !== null)
    parts.push(
      `${plural(total.count, 'unit')} of ${plural(total.affected, 'activation')} at the last record`,
    );
  if (redundant && twins !== null) {
    const layers = new Set(twins.map(({ activation }) => activation)).size;
    parts.push(`${plural(twins.length, 'unit')} of ${plural(layers, 'layer')} that do what another one does`);
  }
  return parts.join(', ');
}

/** What is listed; null while a part of it is still on its way. */
function unitsOf(
  listed: Listed,
  inState: readonly ListedUnit[] | null,
  twins: readonly ListedUnit[] | null,
): readonly ListedUnit[] | null {
  return useMemo(() => {
    if (!listed.redundant) return inState;
    if (listed.state === null) return twins;
    return inState === null || twins === null ? null : merged(inState, twins);
  }, [listed.redundant, listed.state, inState, twins]);
}

/** The units in a state, read once someone looks at them and again only while they do; those of null are none. */
function useInState(dead: DeadSeries, state: number | null, seen: boolean): Resource<ListedUnit[]> {
  const wanted = useSignal<{ dead: DeadSeries; state: number } | null>(null);
  const stale = wanted.value?.dead !== dead || wanted.value.state !== state;
  useEffect(() => {
    if (seen && state !== null && stale) wanted.value = { dead, state };
  }, [seen, state, stale, dead, wanted]);
  const list = useFollow(() => aboutList(wanted.value)).value;
  return wanted.value?.state === state ? list : { ...list, value: null };
}

/** What the units belong to: the layer that makes them, or else the module where they were measured. */
function layerNames(): string[] {
  return activations.value.map(({ layer, module }) => layers.value[layer ?? -1]?.name ?? module);
}

function aboutList(wanted: { dead: DeadSeries; state: number } | null) {
  if (wanted === null) return null;
  const choice = thresholds.value;
  const { dead, state } = wanted;
  const request = aboutRun<ListedUnit[]>(
    (run) => address('units', { run, ...choice, state }),
    (run, signal) => listUnits(dead, state, (page) => getUnits({ run, ...page, ...choice }, signal)),
  );
  // The counts say how many units there are to find, so that the list is of their revision.
  return request && { ...request, version: dead.revision };
}

/** Whether an element is in view: a long list is fetched for those who look at it. */
function useSeen(root: { current: Element | null }): boolean {
  const seen = useSignal(false);
  useEffect(() => {
    const observer = new IntersectionObserver(([entry]) => {
      seen.value = entry?.isIntersecting ?? false;
    });
    observer.observe(root.current!);
    return () => observer.disconnect();
  }, [root, seen]);
  return seen.value;
}
