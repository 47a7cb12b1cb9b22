/** Everything that drawing life lines needs. */

import type { Plot } from '../plot';
import type { Theme } from '../theme';
import type { Domain, Selection } from '../types';
import type { TwinMark, UnitLife } from './life';

export interface LifeScene {
  readonly theme: Theme;
  readonly width: number;
  readonly plot: Plot;
  readonly domain: Domain;
  readonly rows: LifeRows;
  readonly scroll: number;
  readonly total: number;
  /** The life in a row, or null while it is fetched. */
  life(row: number): UnitLife | null;
  /** What the states of a unit are called, by their codes. */
  readonly names: readonly string[];
  /** Units that are like another one. */
  readonly twins: ReadonlyMap<number, TwinMark>;
  readonly selection: Selection;
  readonly empty: string;
}

export interface LifeRows {
  /** Of one row, in CSS pixels; need not be whole. */
  readonly height: number;
  /** Of all rows. */
  readonly content: number;
}

/** Below this height lines can't be told apart, so the content scrolls instead. */
export const LOWEST_LIFE = 3;
const HIGHEST_LIFE = 18;

export function lifeRows(total: number, height: number): LifeRows {
  const row = Math.min(HIGHEST_LIFE, Math.max(LOWEST_LIFE, height / Math.max(1, total)));
  return { height: row, content: Math.round(row * total) };
}

/** Top of a row on the canvas; rows touch, and each begins at a whole pixel. */
export function lifeTop({ plot, rows, scroll }: LifeScene, row: number): number {
  return plot.top + Math.round(row * rows.height) - Math.round(scroll);
}

/** First row in view and the one after the last. */
export function rowsInView(scene: Pick<LifeScene, 'plot' | 'rows' | 'scroll' | 'total'>): [number, number] {
  const { plot, rows, scroll, total } = scene;
  const from = Math.max(0, Math.floor(scroll / rows.height));
  return [from, Math.min(total, Math.ceil((scroll + plot.bottom - plot.top) / rows.height))];
}

/** The row at `y` on the canvas, or -1. */
export function lifeAt(scene: Pick<LifeScene, 'plot' | 'rows' | 'scroll' | 'total'>, y: number): number {
  const { plot, rows, scroll, total } = scene;
  if (y < plot.top || y >= plot.bottom) return -1;
  const row = Math.floor((y - plot.top + scroll) / rows.height);
  return row < total ? row : -1;
}

/** Lowest edge of the rows on the canvas. */
export function livesBottom({ plot, rows, scroll }: LifeScene): number {
  return Math.min(plot.bottom, plot.top + rows.content - scroll);
}
