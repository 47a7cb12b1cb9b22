import { describe, expect, it } from 'vitest';
import { shownRecord, shownRecords } from './cadence';
import { type Matrix, STATE } from './types';

/** Rows of recorded steps, "x" where there is a record. */
function matrix(...rows: string[]): Matrix {
  const length = rows[0]!.length;
  return {
    rows: rows.length,
    steps: Float64Array.from({ length }, (_, step) => step),
    spans: new Float64Array(length).fill(1),
    values: new Float32Array(rows.length * length).fill(1),
    states: Uint8Array.from([...rows.join('')], (mark) => (mark === 'x' ? STATE.number : STATE.notRecorded)),
  };
}

const row = (of: Matrix, index: number) =>
  Array.from({ length: of.steps.length }, (_, record) => shownRecord(of, index, record));

describe('shownRecords', () => {
  it('lets a record stand until the next one of its row', () => {
    const gan = matrix('xxxxxxxx', 'x.x.x.x.');
    expect(shownRecords(gan)[0]).toBeNull();
    expect(row(gan, 1)).toEqual([0, 0, 2, 2, 4, 4, 6, 6]);
  });

  it('leaves open what is missing by the measure of the row', () => {
    const torn = matrix('xxxxxxxxxxxxxxxxxxxx', 'x.x.x.x.........x.x.');
    expect(row(torn, 1).slice(6, 17)).toEqual([6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    expect(row(torn, 1).slice(0, 6)).toEqual([0, 0, 2, 2, 4, 4]);
  });

  it('leaves open what comes before the first record, and long after the last', () => {
    const late = matrix('xxxxxxxxxxxx', '....x.x.x...');
    expect(row(late, 1)).toEqual([0, 1, 2, 3, 4, 4, 6, 6, 8, 8, 10, 11]);
  });

  it('leaves rows alone that have no record, or one', () => {
    const rare = matrix('xxxx', '....', '.x..');
    expect([1, 2].map((index) => shownRecords(rare)[index])).toEqual([null, null]);
  });

  it('shares what rows of one model have in common', () => {
    const gan = matrix('xxxx', 'x.x.', 'x.x.');
    expect(shownRecords(gan)[2]).toBe(shownRecords(gan)[1]);
  });
});
