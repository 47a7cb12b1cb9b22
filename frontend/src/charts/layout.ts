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
}

/** Place every visible row: layers in order, a gap between scopes, a folded scope as one row. */
export function layoutRows(options: LayoutOptions): RowLayout {
  const { layers, folded, height, selected } = options;
  const scopes = groupScopes(layers, options.rows ?? layers.map((_, row) => row));
  const isFolded = (scope: Scope) => scope.members.length > 1 && scope.name !== '' && folded.has(scope.name);
  const count = scopes.reduce((sum, scope) => sum + (isFolded(scope) ? 1 : scope.members.length), 0);
  const hasSelected = selected !== null && scopes.some((scope) => scope.members.includes(selected));
  const gapsAt = (gap: number) =>
    scopes.slice(1).filter((scope, index) => !touch(gap, isFolded(scopes[index]!), isFolded(scope))).length *
    gap;
  const { row: usual, gap } = rowHeight(height, count, gapsAt, hasSelected);

  const rows: LayoutRow[] = [];
  const placed: LayoutScope[] = [];
  let y = 0;
  const place = (members: readonly number[], isFolded: boolean) => {
    const tall = selected !== null && members.includes(selected);
    const bottom = y + (tall ? Math.max(usual, SELECTED_ROW) : usual);
    const top = Math.round(y);
    rows.push({ y: top, height: Math.round(bottom) - top, members, folded: isFolded, scope: placed.length });
    y = bottom;
  };
  for (const scope of scopes) {
    const closed = isFolded(scope);
    if (placed.length && !touch(gap, placed.at(-1)!.folded, closed)) y += gap;
    const top = Math.round(y);
    if (closed) place(scope.members, true);
    else for (const member of scope.members) place([member], false);
    const foldable = scope.members.length > 1 && scope.name !== '';
    placed.push({ ...scope, folded: closed, foldable, y: top, height: Math.round(y) - top });
  }
  return { rows, scopes: placed, height: Math.round(y) };
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
