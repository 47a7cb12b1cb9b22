/** What the colours mean; a group that is chosen stays in colour, as do points that are searched for. */
import { useSignal } from '@preact/signals';
import { useMemo, useRef } from 'preact/hooks';
import { ColorLegend } from '../../charts/ColorLegend';
import { useSize } from '../../charts/canvas';
import { windowOf } from '../../charts/DataTable';
import { formatCount, formatShare } from '../../charts/numbers';
import { sceneIn } from '../../state/embeddings';
import {
  chosenNames,
  colourBy,
  groups,
  pickShown,
  searches,
  showAll,
  shown,
  toggleGroup,
  typed,
} from '../../state/embeddings-marks';
import { matches } from '../../state/embeddings-search';
import { SearchField } from '../search-field';
import { plural } from '../words';
import { colouring } from './colouring';
import { DISTINCT } from './palette';
import { COLOUR_WORDS } from './words';

const ROW = 24;
/** Longer lists have the largest groups first. */
const LISTED = 50;

export function Legend() {
  return (
    <aside class="embedding-legend" aria-label="Legend">
      <Find />
      <Count />
      {colouring.value.scale !== null ? <Numbers /> : <Groups />}
    </aside>
  );
}

function Find() {
  const error = searches.value.find((search) => search.error !== null)?.error ?? null;
  const isNumbers = sceneIn(0)?.set.labels === 'numbers';
  const hint = isNumbers ? '> 0.5, 0.2 to 0.8, #3-15' : 'cat, #3, #8-15';
  return (
    <SearchField
      class="find"
      label="Search points"
      title={`Search points by label or number, such as ${hint}`}
      placeholder={isNumbers ? '> 0.5 or #3-15' : 'Label or #3-15'}
      typed={typed}
      error={error}
    />
  );
}

function Count() {
  const mask = shown.value[0] ?? new Uint8Array(0);
  const count = useMemo(() => mask.reduce((sum, one) => sum + one, 0), [mask]);
  const isWhole = count === mask.length;
  return (
    <p class="legend-count">
      <span role="status">
        {isWhole
          ? plural(count, 'point')
          : `${formatCount(count)} of ${plural(mask.length, 'point')} in colour`}
      </span>
      {(!isWhole || chosenNames.value.size > 0) && (
        <button type="button" class="link" onClick={showAll}>
          Show all
        </button>
      )}
      {count > 0 && (
        <button type="button" class="link" title="Select the points in colour" onClick={pickShown}>
          Select
        </button>
      )}
    </p>
  );
}

function Numbers() {
  return (
    <div class="number-legend">
      <ColorLegend title="the labels" scale={colouring.value.scale!} marks={[]} />
    </div>
  );
}

interface Row {
  readonly name: string | null;
  readonly words: string;
  readonly count: number;
  readonly colour: string;
}

/** The groups to list: those that match the search, the largest first where they are many. */
function rowsOf(): Row[] {
  const { names, counts, without } = groups.value;
  const by = colourBy.value;
  const isSearched = by === 'class' && typed.value.trim() !== '' && !typed.value.trim().startsWith('#');
  const colours = colouring.value;
  const rows: Row[] = names.map((name, index) => ({
    name,
    words: name,
    count: counts[index]!,
    colour: colours.groups[index]!,
  }));
  const found = isSearched ? rows.filter(({ words }) => matches(words, typed.value.trim())) : rows;
  if (found.length > LISTED) found.sort((a, b) => b.count - a.count);
  if (without > 0 && by !== 'none' && !isSearched)
    found.push({
      name: null,
      words: by === 'class' ? 'no label' : 'not known',
      count: without,
      colour: colours.without,
    });
  return found;
}

function Groups() {
  const rows = useMemo(rowsOf, [groups.value, colouring.value, typed.value]);
  const { length } = groups.value.names;
  if (rows.length === 0)
    return (
      <p class="muted">
        {length > 0 ? 'No label matches.' : 'The points have no labels: all are of one colour.'}
      </p>
    );
  return (
    <>
      {length > DISTINCT && (
        <p class="muted">
          {plural(length, 'group')}: colours are alike or come back. Choose some, or search.
        </p>
      )}
      <List rows={rows} total={rows.reduce((sum, { count }) => sum + count, 0)} />
    </>
  );
}

/** From this width on groups stand in two columns. */
const WIDE = 300;

/** Only what is in view is in the page: there may be 10,000. */
function List({ rows, total }: { rows: readonly Row[]; total: number }) {
  const root = useRef<HTMLDivElement>(null);
  const size = useSize(root);
  const offset = useSignal(0);
  const columns = size.value.width >= WIDE ? 2 : 1;
  const lines = Math.ceil(rows.length / columns);
  const [from, to] = windowOf(offset.value, size.value.height, ROW, lines);
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would bring its own looks and no more meaning.
    <div
      ref={root}
      class="groups"
      role="group"
      aria-label={`${COLOUR_WORDS[colourBy.value]}: groups that stay in colour`}
      onScroll={(event) => {
        offset.value = event.currentTarget.scrollTop;
      }}
      onKeyDown={moveFocus}
    >
      <div style={{ height: `${from * ROW}px` }} />
      {Array.from({ length: to - from }, (_, line) => (
        <div key={from + line} class="group-row">
          {Array.from({ length: columns }, (_, column) => {
            const row = rows[(from + line) * columns + column];
            return row === undefined ? <span key={column} /> : <Group key={column} row={row} total={total} />;
          })}
        </div>
      ))}
      <div style={{ height: `${Math.max(0, lines - to) * ROW}px` }} />
    </div>
  );
}

function Group({ row, total }: { row: Row; total: number }) {
  return (
    <button
      type="button"
      class="group"
      aria-pressed={chosenNames.value.has(row.name)}
      onClick={() => toggleGroup(row.name)}
    >
      <i class="swatch" style={{ background: row.colour }} aria-hidden="true" />
      <span class="clip" title={row.words}>
        {row.words}
      </span>
      <span class="hint">
        {colourBy.value === 'correctness' ? formatShare(row.count / total) : formatCount(row.count)}
      </span>
    </button>
  );
}

/** Arrows go from group to group. */
function moveFocus(event: KeyboardEvent): void {
  const by = { ArrowDown: 1, ArrowUp: -1, ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (by === undefined) return;
  const buttons = [...(event.currentTarget as HTMLElement).querySelectorAll('button')];
  const next = buttons[buttons.indexOf(document.activeElement as HTMLButtonElement) + by];
  event.preventDefault();
  event.stopPropagation();
  next?.focus();
}
