/** Everything that drawing lines over steps needs. */

import { type Columns, nearestRecord, placeColumns } from '../columns';
import { type Plot, xOf } from '../plot';
import type { ValueScale } from '../scale';
import type { Theme } from '../theme';
import type { ScaleKind } from '../types';
import {
  type Domain,
  type Level,
  type Selection,
  type Series,
  type Skip,
  STATE,
  type StepMark,
} from '../types';
import { robustRange, valueAxis } from './range';

export interface Line {
  readonly series: Series;
  readonly columns: Columns;
  readonly color: string;
}

export interface LineScene {
  readonly theme: Theme;
  readonly width: number;
  /** Pixels of the screen to one of CSS. */
  readonly ratio: number;
  readonly plot: Plot;
  readonly domain: Domain;
  readonly scale: ValueScale;
  readonly lines: readonly Line[];
  readonly levels: readonly Level[];
  readonly marks: readonly StepMark[];
  readonly skips: readonly Skip[];
  readonly selection: Selection;
  readonly axis: boolean;
  readonly empty: string;
}

/** The columns of each series; series of one run share theirs. */
export function placeLines(series: readonly Series[]): Columns[] {
  const placed = new Map<Float64Array, Columns>();
  return series.map(({ steps, spans }) => {
    const columns = placed.get(steps) ?? placeColumns(steps, spans);
    placed.set(steps, columns);
    return columns;
  });
}

/** Whether a record holds a number that a curve can pass through. */
export function isNumber({ values, states }: Series, record: number): boolean {
  return (states?.[record] ?? STATE.number) === STATE.number && Number.isFinite(values[record]!);
}

/** Whether a record had non-finite elements. */
export function isNonfinite({ values, states }: Series, record: number): boolean {
  return states ? states[record] === STATE.nonfinite : !Number.isFinite(values[record]!);
}

/** The value axis for what is in view. */
export function axisFor(
  kind: ScaleKind,
  series: readonly Series[],
  columns: readonly Columns[],
  domain: Domain,
  levels: readonly Level[],
  spikes = false,
): ValueScale {
  const values: number[] = [];
  for (const [index, one] of series.entries())
    for (let record = 0; record < columns[index]!.length; record++)
      if (
        columns[index]!.right[record]! > domain[0] &&
        columns[index]!.left[record]! < domain[1] &&
        isNumber(one, record)
      )
        values.push(one.values[record]!);
  const range = robustRange(values, kind === 'log', spikes);
  const heights = levels.map(({ value }) => value).filter((value) => kind !== 'log' || value > 0);
  return valueAxis(kind, range && [Math.min(range[0], ...heights), Math.max(range[1], ...heights)]);
}

export function yOf({ plot, scale }: Pick<LineScene, 'plot' | 'scale'>, value: number): number {
  return plot.bottom - scale.position(value) * (plot.bottom - plot.top);
}

/** Whether a value lies beyond the ends of the axis. */
export function isCut({ domain, kind }: ValueScale, value: number): boolean {
  return value > domain[1] || (value < domain[0] && !(kind === 'log' && value === 0));
}

/** Left, middle and right pixel of a record's steps. */
export function recordX(scene: LineScene, columns: Columns, record: number): [number, number, number] {
  const first = xOf(scene.plot, scene.domain, columns.first[record]!);
  const last = xOf(scene.plot, scene.domain, columns.last[record]!);
  return [first, (first + last) / 2, last];
}

/** The record that stands for `step`, or -1 where the curve has none near it. */
export function recordNear(line: Line, step: number): number {
  const record = nearestRecord(line.columns, step);
  const near =
    record >= 0 && step >= line.columns.left[record]! - 0.5 && step <= line.columns.right[record]! + 0.5;
  return near && isNumber(line.series, record) ? record : -1;
}
