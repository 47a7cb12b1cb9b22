/** All units of the run in the chosen state, one a line, to be saved or copied from. */
import { useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { DataTable } from '../../charts/DataTable';
import { saveCsv } from '../../charts/exports';
import type { Exportable } from '../../charts/types';
import { address, getUnits } from '../../data/client';
import type { DeadSeries } from '../../data/types';
import { activations, thresholds } from '../../state/activations';
import { layers } from '../../state/derived';
import { aboutRun, catalogue } from '../../state/store';
import { DataNotice } from '../data-notice';
import { useFollow } from '../use-follow';
import { plural } from '../words';
import { totalsOf } from './counts';
import { chosenState } from './shares';
import { type ListedUnit, listTable, listUnits } from './unit-list';

export function Listing({ dead }: { dead: DeadSeries }) {
  const root = useRef<HTMLElement>(null);
  const state = chosenState();
  const label = (catalogue.value.value?.unit_states[state]?.label ?? '').toLowerCase();
  const wanted = useSignal<{ dead: DeadSeries; state: number } | null>(null);
  const seen = useSeen(root);
  if (seen && (wanted.value?.dead !== dead || wanted.value.state !== state)) wanted.value = { dead, state };
  const list = useFollow(() => aboutList(wanted.value)).value;
  const table = useMemo(
    () =>
      listTable(
        list.value ?? [],
        activations.value.map(({ label }) => label),
        layerNames(),
      ),
    [list.value, activations.value],
  );
  const { count, affected } = totalsOf(dead, state);
  const title = `All ${label} units`;
  return (
    <section ref={root} class="listing" aria-label={title}>
      <header class="figure-head">
        <h3>{title}</h3>
        <span class="caption clip">
          {plural(count, 'unit')} of {plural(affected, 'activation')} at the last record
        </span>
        <span class="space" />
        <button
          type="button"
          class="control slim"
          disabled={list.value === null}
          onClick={() => saveCsv({ name: title, table: () => table } as Exportable)}
        >
          Save as CSV
        </button>
      </header>
      <DataNotice error={list.error} />
      {count === 0 ? (
        <p class="muted">There is none.</p>
      ) : list.value === null ? (
        <p class="muted">{list.loading ? 'Reading the units…' : ''}</p>
      ) : (
        <div class="listing-table">
          <DataTable title={title} table={table} />
        </div>
      )}
    </section>
  );
}

/** What the units belong to: the layer that makes them, or else the module where they were measured. */
function layerNames(): string[] {
  return activations.value.map(({ layer, module }) => layers.value[layer ?? -1]?.name ?? module);
}

function aboutList(wanted: { dead: DeadSeries; state: number } | null) {
  if (wanted === null) return null;
  const choice = thresholds.value;
  const { dead, state } = wanted;
  return aboutRun<ListedUnit[]>(
    (run) => address('units', { run, ...choice, state }),
    (run, signal) => listUnits(dead, state, (page) => getUnits({ run, ...page, ...choice }, signal)),
  );
}

/** Whether an element is in view: a long list is fetched for those who look at it, and again only while they do. */
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
