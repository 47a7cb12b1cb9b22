/** A cell in words, for the chip, the live region and the table. */

import { shownRecord } from '../cadence';
import { recordAt } from '../columns';
import { formatShare, formatSteps, formatValue } from '../numbers';
import { isLeftOut, skipAt, skipWords } from '../skips';
import type { LayoutRow } from '../types';
import { type Matrix, type ScaleKind, STATE } from '../types';
import { memberAt, type Scene } from './scene';

/** "blocks.3.conv2 · step 1,240–1,259 · 3.1e-6" */
export function cellWords(scene: Scene, row: LayoutRow, step: number): string {
  const member = memberAt(scene, row, step);
  const record = recordAt(scene.columns, step);
  const parts = [scene.layers[member]?.name ?? ''];
  if (row.folded) parts.unshift(`worst of ${row.members.length}`);
  const skip = skipAt(scene.skips, step, scene.plot, scene.domain);
  if (skip && isLeftOut(skip, step)) return [...parts, skipWords(skip)].join(' · ');
  if (record < 0) return [...parts, `step ${formatSteps(Math.round(step))}`, 'not recorded'].join(' · ');
  const { first, last } = scene.columns;
  const shown = shownRecord(scene.matrix, member, record);
  parts.push(`step ${formatSteps(first[shown]!, last[shown]!)}`);
  parts.push(scene.words?.(member, shown) ?? valueWords(scene.matrix, member, shown, scene.statistic.scale));
  if (skip) parts.push(skipWords(skip));
  return parts.join(' · ');
}

/** The value of a cell, or why it has none. */
export function valueWords(matrix: Matrix, row: number, record: number, scale: ScaleKind): string {
  const cell = row * matrix.steps.length + record;
  const value = matrix.values[cell]!;
  switch (matrix.states[cell]) {
    case STATE.notRecorded:
      return 'not recorded';
    case STATE.neverRun:
      return 'never run';
    case STATE.noGradient:
      return 'no gradient (None)';
    case STATE.nonfinite:
      return Number.isFinite(value)
        ? `NaN or infinite; ${numberWords(value, scale)} in the finite steps`
        : 'NaN or infinite';
    default:
      return Number.isFinite(value) ? numberWords(value, scale) : 'NaN or infinite';
  }
}

function numberWords(value: number, scale: ScaleKind): string {
  if (scale === 'fraction' || scale === 'share' || scale === 'dead') return formatShare(value);
  if (value === 0 && scale === 'log') return 'exactly zero';
  return formatValue(value);
}
