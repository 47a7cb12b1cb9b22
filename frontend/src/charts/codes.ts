/** Cells as small integers: a place on the colour scale, or a mark of its own.
 *
 * Logarithms are taken once; zooming, folding and scrolling then only compare integers.
 */

import { shownRecords } from './cadence';
import type { ValueScale } from './scale';
import { type Matrix, STATE } from './types';

/** Places on the colour scale; the codes of the marks follow them. */
export const COLORS = 1024;
export const CODE = {
  zero: COLORS,
  nonfinite: COLORS + 1,
  noGradient: COLORS + 2,
  missing: COLORS + 3,
  neverRun: COLORS + 4,
} as const;

const known = new WeakMap<Matrix, { scale: ValueScale; codes: Uint16Array }>();

/** [R, T] codes of a matrix. */
export function encode(matrix: Matrix, scale: ValueScale): Uint16Array {
  const found = known.get(matrix);
  if (found?.scale === scale) return found.codes;
  const codes = encodeCells(matrix, scale);
  known.set(matrix, { scale, codes });
  return codes;
}

function encodeCells(matrix: Matrix, scale: ValueScale): Uint16Array {
  const { values, states } = matrix;
  const codes = new Uint16Array(values.length);
  for (let cell = 0; cell < values.length; cell++) {
    const state = states[cell];
    codes[cell] = state === STATE.number ? encodeNumber(values[cell]!, scale) : encodeState(state);
  }
  carryOn(codes, matrix);
  return codes;
}

/** A record stands for the steps up to the next one of its row, as far as that is usual for the row. */
function carryOn(codes: Uint16Array, matrix: Matrix): void {
  const length = matrix.steps.length;
  for (const [row, shown] of shownRecords(matrix).entries())
    shown?.forEach((from, record) => {
      codes[row * length + record] = codes[row * length + from]!;
    });
}

function encodeNumber(value: number, scale: ValueScale): number {
  if (!Number.isFinite(value)) return CODE.nonfinite;
  if (value === 0 && scale.marksZero) return CODE.zero;
  return Math.round(scale.position(value) * (COLORS - 1));
}

function encodeState(state: number | undefined): number {
  if (state === STATE.nonfinite) return CODE.nonfinite;
  if (state === STATE.neverRun) return CODE.neverRun;
  return state === STATE.noGradient ? CODE.noGradient : CODE.missing;
}

/** Whoever shares a pixel: NaN is never hidden, nor is zero; a number hides only the absence of one. */
const ORDER = [CODE.missing, CODE.neverRun, CODE.noGradient, 'number', CODE.zero, CODE.nonfinite] as const;
const NUMBER_RANK = ORDER.indexOf('number');
/** Ranks of the marks, from code COLORS on. */
const MARK_RANKS = Object.values(CODE)
  .sort((a, b) => a - b)
  .map((code) => ORDER.indexOf(code));

export function rank(code: number): number {
  return code < COLORS ? NUMBER_RANK : MARK_RANKS[code - COLORS]!;
}

/** [T] codes of a folded scope: at each record the worst of its members. */
export function foldCodes(
  codes: Uint16Array,
  length: number,
  members: readonly number[],
  worst: 'low' | 'high',
): Uint16Array {
  const folded = new Uint16Array(length).fill(CODE.missing);
  for (const member of members)
    for (let record = 0; record < length; record++) {
      const code = codes[member * length + record]!;
      if (isWorse(code, folded[record]!, worst)) folded[record] = code;
    }
  return folded;
}

/** The member of a folded scope whose cell is shown at `record`. */
export function worstMember(
  codes: Uint16Array,
  length: number,
  members: readonly number[],
  record: number,
  worst: 'low' | 'high',
): number {
  return members.reduce((chosen, member) =>
    isWorse(codes[member * length + record]!, codes[chosen * length + record]!, worst) ? member : chosen,
  );
}

function isWorse(code: number, than: number, worst: 'low' | 'high'): boolean {
  const difference = rank(code) - rank(than);
  if (difference !== 0 || code >= COLORS) return difference > 0;
  return worst === 'low' ? code < than : code > than;
}

/** Mean place of a row's numbers; the middle where it has none. */
export function meanCode(row: Uint16Array): number {
  let sum = 0;
  let count = 0;
  for (const code of row)
    if (code < COLORS) {
      sum += code;
      count++;
    }
  return count ? sum / count : COLORS / 2;
}
