/** Everything that the heatmap's drawing needs, computed from its props and its size. */

import { CODE, worstMember } from '../codes';
import { type Columns, recordAt } from '../columns';
import { rowOf } from '../layout';
import type { Plot } from '../plot';
import type { ValueScale } from '../scale';
import type { Theme } from '../theme';
import type {
  Domain,
  LayerLabel,
  LayoutRow,
  Matrix,
  RowFlag,
  RowLayout,
  Selection,
  Skip,
  StatisticLabel,
  StepMark,
} from '../types';

/** What the names of rows need. */
export interface RowScene {
  readonly theme: Theme;
  readonly plot: Plot;
  readonly width: number;
  readonly layout: RowLayout;
  readonly scroll: number;
  readonly layers: readonly LayerLabel[];
  readonly selection: Selection;
  readonly flags: readonly RowFlag[];
  readonly labels: 'tree' | 'compact';
}

export type CellWords = (row: number, record: number) => string;

export interface Scene extends RowScene {
  readonly ratio: number;
  readonly domain: Domain;
  readonly matrix: Matrix;
  readonly statistic: StatisticLabel;
  readonly scale: ValueScale;
  readonly codes: Uint16Array;
  readonly columns: Columns;
  readonly marks: readonly StepMark[];
  readonly skips: readonly Skip[];
  /** The value of a cell in words, where the number alone does not say enough. */
  readonly words?: CellWords | undefined;
  /** What to say where there is nothing to draw. */
  readonly empty: string;
}

/** Top of a visible row on the canvas. */
export function rowTop(scene: RowScene, row: LayoutRow): number {
  return scene.plot.top + row.y - scene.scroll;
}

/** Lowest edge of the rows on the canvas. */
export function cellsBottom({ plot, layout, scroll }: RowScene): number {
  return Math.min(plot.bottom, plot.top + layout.height - scroll);
}

/** Whether a visible row is at least partly in view. */
export function inView(scene: RowScene, row: LayoutRow): boolean {
  const top = rowTop(scene, row);
  return top + row.height > scene.plot.top && top < scene.plot.bottom;
}

/** The row of the matrix that a visible row shows at `step`: itself, or the worst of a folded scope. */
export function memberAt(scene: Scene, row: LayoutRow, step: number): number {
  const record = recordAt(scene.columns, step);
  if (!row.folded || record < 0) return row.members[0]!;
  return worstMember(scene.codes, scene.columns.length, row.members, record, scene.scale.worst);
}

export function codeAt(scene: Scene, member: number, step: number): number {
  const record = recordAt(scene.columns, step);
  return record < 0 ? CODE.missing : scene.codes[member * scene.columns.length + record]!;
}

/** The first flag of each visible row that is flagged. */
export function flaggedRows(scene: RowScene): { row: LayoutRow; flag: RowFlag }[] {
  const seen = new Map<LayoutRow, RowFlag>();
  for (const flag of scene.flags) {
    const row = scene.layout.rows[rowOf(scene.layout, flag.row)];
    if (row && !seen.has(row)) seen.set(row, flag);
  }
  return [...seen].map(([row, flag]) => ({ row, flag }));
}
