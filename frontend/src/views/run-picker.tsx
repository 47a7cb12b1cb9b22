/** Which run: a button that opens a list with a search field. */
import { signal } from '@preact/signals';
import { useEffect, useId, useMemo, useRef } from 'preact/hooks';
import { formatCount } from '../charts/numbers';
import type { RunSummary } from '../data/types';
import { selectRun } from '../state/actions';
import { formatAge } from '../state/live';
import * as selection from '../state/selection';
import { runs } from '../state/store';
import { Down, Search } from './icons';
import { Popover } from './popover';
import { Swatch } from './swatch';

export function RunPicker() {
  const list = runs.answer.value ?? [];
  const name = selection.run.value;
  return (
    <Popover
      label={name === null ? 'Choose a run' : `Run: ${name}`}
      class="control run-button"
      kind="listbox"
      button={
        <>
          <Swatch index={runIndex(list, name)} />
          <span class="clip">{name ?? 'No run'}</span>
          <Down />
        </>
      }
    >
      {(close) => <RunList list={list} close={close} />}
    </Popover>
  );
}

/** Place of a run among all, which fixes its colour. */
export function runIndex(list: readonly RunSummary[], name: string | null): number {
  return Math.max(
    0,
    list.findIndex(({ run }) => run === name),
  );
}

/** Runs whose names hold every word of the search, in the order of the list. */
export function searchRuns(list: readonly RunSummary[], text: string): RunSummary[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return list.filter(({ run }) => words.every((word) => run.toLowerCase().includes(word)));
}

function RunList({ list, close }: { list: readonly RunSummary[]; close: () => void }) {
  const search = useMemo(() => signal(''), []);
  const active = useMemo(() => signal(selection.run.value), []);
  const input = useRef<HTMLInputElement>(null);
  const id = useId();
  const found = searchRuns(list, search.value);
  const at = found.findIndex(({ run }) => run === active.value);

  useEffect(() => input.current?.focus(), []);
  useEffect(() => document.getElementById(`${id}-${at}`)?.scrollIntoView({ block: 'nearest' }), [id, at]);

  const choose = (run: string) => {
    selectRun(run);
    close();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + 10, PageUp: at - 10 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      active.value = found[Math.min(found.length - 1, Math.max(0, to))]?.run ?? null;
    } else if (event.key === 'Enter') {
      const run = found[at] ?? found[0];
      if (run) choose(run.run);
    } else return;
    event.stopPropagation();
  };

  return (
    <div class="run-list">
      <label class="search">
        <Search />
        <input
          ref={input}
          type="text"
          role="combobox"
          aria-label="Search runs"
          aria-expanded="true"
          aria-controls={`${id}-list`}
          aria-activedescendant={at >= 0 ? `${id}-${at}` : undefined}
          placeholder={`Search ${list.length} ${list.length === 1 ? 'run' : 'runs'}`}
          onInput={(event) => {
            search.value = event.currentTarget.value;
          }}
          onKeyDown={onKeyDown}
        />
      </label>
      <div role="listbox" id={`${id}-list`} aria-label="Runs" class="options">
        {found.map((one, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the field above has the keys, by aria-activedescendant.
          <div
            key={one.run}
            id={`${id}-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={one.run === selection.run.value}
            class={index === at ? 'option active' : 'option'}
            onClick={() => choose(one.run)}
          >
            <Swatch index={runIndex(list, one.run)} />
            <span class="clip">{one.run}</span>
            <span class="hint">{describe(one)}</span>
          </div>
        ))}
        {found.length === 0 && <p class="muted">No run has this in its name.</p>}
      </div>
    </div>
  );
}

function describe({ error, last_step, wall_time }: RunSummary): string {
  if (error !== null) return 'can’t be read';
  if (last_step === null || wall_time === null) return 'nothing recorded yet';
  return `step ${formatCount(last_step)} · ${formatAge(Math.max(0, Date.now() / 1000 - wall_time))} ago`;
}
