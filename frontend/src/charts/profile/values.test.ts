import { describe, expect, it } from 'vitest';
import { uniformMatrix } from '../harness/data';
import { type LayoutRow, type Matrix, STATE } from '../types';
import { medianBefore, profileScale, reading, recordOf, rowReading } from './values';

/** Two rows, four records at steps 0 to 3. */
const matrix: Matrix = {
  ...uniformMatrix(2, 4, 0),
  values: Float32Array.of(1, 2, 8, 0, 0.5, Number.NaN, 4, 4),
  states: Uint8Array.of(0, 0, 0, 0, 0, STATE.noGradient, STATE.nonfinite, STATE.notRecorded),
};
const folded: LayoutRow = { y: 0, height: 5, members: [0, 1], folded: true, scope: 0 };

describe('reading', () => {
  it('tells numbers from their absence', () => {
    expect([0, 1, 2, 3].map((record) => reading(matrix, 0, record))).toEqual([1, 2, 8, 'zero']);
    expect([0, 1, 2, 3].map((record) => reading(matrix, 1, record))).toEqual([
      0.5,
      'no gradient',
      'nonfinite',
      'not recorded',
    ]);
    expect(reading(matrix, 0, -1)).toBe('not recorded');
  });

  it('shows the worst of a folded scope', () => {
    expect([0, 1, 2, 3].map((record) => rowReading(matrix, folded, record, 'low'))).toEqual([
      0.5,
      2,
      'nonfinite',
      'zero',
    ]);
    expect(rowReading(matrix, folded, 0, 'high')).toBe(1);
  });
});

describe('medianBefore', () => {
  it('knows only the past, and only numbers', () => {
    expect([...medianBefore(matrix, 2)]).toEqual([2, 0.5]);
    expect([...medianBefore(matrix, 0)]).toEqual([Number.NaN, Number.NaN]);
    expect([...medianBefore(matrix, Number.POSITIVE_INFINITY)]).toEqual([2, 0.5]);
  });
});

describe('recordOf', () => {
  it('is the record that holds the step', () => {
    expect([0, 3, 9, -4].map((step) => recordOf(matrix, step))).toEqual([0, 3, -1, -1]);
  });
});

describe('profileScale', () => {
  it('spans the decades of all steps', () => {
    expect(profileScale([matrix]).domain).toEqual([0.1, 10]);
    expect(profileScale([uniformMatrix(1, 1, 1)]).domain).toEqual([0.1, 10]);
  });

  it('takes nothing above zero, and is not stretched by denormals', () => {
    expect(profileScale([uniformMatrix(2, 2, 0)]).domain).toEqual([1e-9, 1]);
    expect(profileScale([uniformMatrix(1, 1, 1e-44), uniformMatrix(1, 1, 1)]).domain[0]).toBeCloseTo(
      1e-15,
      20,
    );
  });
});
