/** Rows of the heatmap in the height that there is. */

import { groupScopes, type Scope } from './scopes';
import type { LayerLabel, LayoutRow, LayoutScope, RowLayout } from './types';

/** Below this height rows can't be told apart, so the content scrolls instead. */
export const LOWEST_ROW = 3;
const HIGHEST_ROW = 28;
/** The selected row can be read among a thousand. */
const SELECTED_ROW = 16;
const NARROWEST_GAP = 1;

export interface LayoutOptions {
  readonly layers: readonly LayerLabel[];
  /** Rows of the matrix to show; by default all. */
  readonly rows?: readonly number[] | undefined;
  readonly folded: ReadonlySet<string>;
  /** In CSS pixels. */
  readonly height: number;
  readonly selected: number | null;
  /** Whether all rows must be in view: where they are too many, neighbours share one. */
  readonly fits?: boolean;
}

/** Rows that stand together: a scope, or what lies between scopes. */
interface Group extends Scope {
  readonly foldable: boolean;
  readonly folded: boolean;
  /** Members of each row. */
  readonly rows: readonly (readonly number[])[];
}

/** Place every visible row: layers in order, a gap between scopes, a folded scope as one row. */
export function layoutRows(options: LayoutOptions): RowLayout {
  const { layers, folded, height, selected } = options;
  const scopes = groupScopes(layers, options.rows ?? layers.map((_, row) => row));
  const groups = scopes.map((scope) => toGroup(scope, folded));
  const layout = placeGroups(groups, height, selected);
  return options.fits && layout.height > height
    ? placeGroups([bundle(groups, height, selected)], height, selected)
    : layout;
}

function toGroup(scope: Scope, folded: ReadonlySet<string>): Group {
  const foldable = scope.members.length > 1 && scope.name !== '';
  const closed = foldable && folded.has(scope.name);
  const rows = closed ? [scope.members] : scope.members.map((member) => [member]);
  return { ...scope, foldable, folded: closed, rows };
}

/** All rows in one group of as many as fit: so many neighbours share a row; the selected one has its own. */
function bundle(groups: readonly Group[], height: number, selected: number | null): Group {
  const all = groups.flatMap(({ rows }) => rows);
  // The selected row is taller, and ends the row before it early.
  const room = Math.max(1, Math.floor((height - SELECTED_ROW) / LOWEST_ROW) - 2);
  const size = Math.ceil(all.length / room);
  const rows: number[][] = [];
  let shared = 0;
  for (const members of all) {
    const alone = selected !== null && members.includes(selected);
    if (shared === 0 || alone) rows.push([...members]);
    else rows.at(-1)!.push(...members);
    shared = alone ? 0 : (shared + 1) % size;
  }
  return { name: '', members: all.flat(), foldable: false, folded: false, rows };
}

function placeGroups(groups: readonly Group[], height: number, selected: number | null): RowLayout {
  const count = groups.reduce((sum, { rows }) => sum + rows.length, 0);
  const hasSelected = selected !== null && groups.some(({ members }) => members.includes(selected));
  const gapsAt = (gap: number) =>
    groups.slice(1).filter((group, index) => !touch(gap, groups[index]!.folded, group.folded)).length * gap;
  const { row: usual, gap } = rowHeight(height, count, gapsAt, hasSelected);

  const rows: LayoutRow[] = [];
  const scopes: LayoutScope[] = [];
  let y = 0;
  for (const { rows: own, ...group } of groups) {
    if (scopes.length && !touch(gap, scopes.at(-1)!.folded, group.folded)) y += gap;
    const start = Math.round(y);
    for (const members of own) {
      const tall = selected !== null && members.includes(selected);
      const bottom = y + (tall ? Math.max(usual, SELECTED_ROW) : usual);
      const top = Math.round(y);
      const height = Math.round(bottom) - top;
      rows.push({ y: top, height, members, folded: members.length > 1, scope: scopes.length });
      y = bottom;
    }
    scopes.push({ ...group, y: start, height: Math.round(y) - start });
  }
  return { rows, scopes, height: Math.round(y) };
}

/** Where space is scarcest, neighbouring folded scopes have no gap: each is a row like another. */
function touch(gap: number, above: boolean, below: boolean): boolean {
  return gap === NARROWEST_GAP && above && below;
}

function rowHeight(height: number, count: number, gapsAt: (gap: number) => number, hasSelected: boolean) {
  const even = (gap: number) => {
    const room = height - gapsAt(gap);
    const row = room / Math.max(1, count);
    return hasSelected && row < SELECTED_ROW ? (room - SELECTED_ROW) / Math.max(1, count - 1) : row;
  };
  const gap = [3, 2].find((candidate) => even(candidate) >= 2 * candidate + 2) ?? NARROWEST_GAP;
  return { row: Math.min(HIGHEST_ROW, Math.max(LOWEST_ROW, even(gap))), gap };
}

/** Index of the visible row at `y` in the content, or -1 in a gap and outside. */
export function rowAt(layout: RowLayout, y: number): number {
  let low = 0;
  let high = layout.rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (layout.rows[middle]!.y <= y) low = middle + 1;
    else high = middle;
  }
  const row = layout.rows[low - 1];
  return row && y < row.y + row.height ? low - 1 : -1;
}

/** Index of the visible row that stands for a row of the matrix, or -1 where it is not shown. */
export function rowOf(layout: RowLayout, member: number | null): number {
  return member === null ? -1 : layout.rows.findIndex((row) => row.members.includes(member));
}
