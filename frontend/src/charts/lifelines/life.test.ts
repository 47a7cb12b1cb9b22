import { describe, expect, it } from 'vitest';
import { UNIT } from '../../lib/units';
import { placeColumns } from '../columns';
import { beginningOf, firedWords, lifeWords, remarkOf, stretchesOf, turnsOf, type UnitLife } from './life';
import { lifeRows, rowsInView } from './scene';
import { livesTable } from './table';

const { alive, sparse, dead, saturated, revived, silent, notRecorded } = UNIT;
const NAMES = [
  'alive',
  'sparse',
  'dead',
  'saturated',
  'frozen',
  'never run',
  'not recorded',
  'revived',
  'silent',
];

function life(states: number[], change: Partial<UnitLife> = {}): UnitLife {
  const records = states.map((_, record) => record);
  const fires = (state: number) => ([alive, revived].includes(state as never) ? 0.25 : 0);
  return {
    unit: 37,
    columns: placeColumns(
      Float64Array.from(records, (record) => 8 * record + 7),
      new Float64Array(states.length).fill(8),
    ),
    states,
    fired: states.map(fires),
    mean: states.map(() => 0.5),
    std: states.map(() => 0.1),
    largest: states.map((state) => (fires(state) > 0 ? 1.5 : -0.25)),
    samples: states.map(() => 1024),
    counted: states.map(() => 128),
    ...change,
  };
}

describe('a life', () => {
  it('falls into stretches of one state', () => {
    expect(stretchesOf([alive, alive, silent, dead, dead])).toEqual([
      { state: alive, from: 0, to: 2 },
      { state: silent, from: 2, to: 3 },
      { state: dead, from: 3, to: 5 },
    ]);
    expect(stretchesOf([])).toEqual([]);
  });

  it('ends where its silence began, not where the verdict was passed', () => {
    expect(beginningOf([alive, silent, silent, dead, dead], 4)).toBe(1);
    expect(beginningOf([silent, dead], 1)).toBe(0);
    expect(beginningOf([alive, silent, saturated], 2)).toBe(1);
  });

  it('does not take silence for the beginning of life', () => {
    expect(beginningOf([silent, silent, alive, alive], 3)).toBe(2);
  });

  it('has a turn at each death and each return', () => {
    expect(turnsOf([alive, silent, dead, revived, revived, silent, dead])).toEqual([
      { state: dead, record: 1 },
      { state: revived, record: 3 },
      { state: dead, record: 5 },
    ]);
  });
});

describe('the words of a life', () => {
  it('say over how many samples a dead unit was silent', () => {
    const words = lifeWords(life([alive, silent, dead]), 2, NAMES);
    expect(words).toBe(
      'unit 37 · step 16–23 · dead since step 8 · fired in 0 of 1,024 samples · mean 0.5 ± 0.1 · largest −0.25',
    );
  });

  it('count the samples in which a unit fired among those that were counted', () => {
    expect(firedWords(life([alive]), 0)).toBe('fired in 32 of 128 samples');
  });

  it('claim nothing where nothing was recorded', () => {
    expect(lifeWords(life([alive, notRecorded]), 1, NAMES)).toBe('unit 37 · step 8–15 · not recorded');
    expect(lifeWords(life([alive]), -1, NAMES)).toBe('unit 37 · not recorded');
    expect(firedWords(life([alive], { largest: [Number.NaN], fired: [Number.NaN] }), 0)).toBe(
      'firing not recorded',
    );
  });

  it('remark what the last record says', () => {
    expect(remarkOf(life([alive, silent, dead]), NAMES)).toBe('dead since 8');
    expect(remarkOf(life([alive, sparse], { fired: [0.3, 0.004] }), NAMES)).toBe('fires on 0.4 %');
    expect(remarkOf(life([dead, revived]), NAMES)).toBe('revived since 8');
    expect(remarkOf(life([]), NAMES)).toBe('');
  });
});

describe('rows of lives', () => {
  it('scroll instead of becoming too low', () => {
    expect(lifeRows(10, 300).height).toBe(18);
    expect(lifeRows(60, 300)).toEqual({ height: 5, content: 300 });
    expect(lifeRows(4096, 300)).toEqual({ height: 3, content: 12288 });
  });

  it('in view are those that touch it', () => {
    const plot = { left: 0, right: 100, top: 8, bottom: 308 };
    const rows = lifeRows(4096, 300);
    expect(rowsInView({ plot, rows, scroll: 0, total: 4096 })).toEqual([0, 100]);
    expect(rowsInView({ plot, rows, scroll: 11988, total: 4096 })).toEqual([3996, 4096]);
    expect(rowsInView({ plot, rows: lifeRows(0, 300), scroll: 0, total: 0 })).toEqual([0, 0]);
  });
});

describe('the table of lives', () => {
  it('has a line for each unit and record', () => {
    const table = livesTable([life([alive, silent]), { ...life([dead]), unit: 4 }], NAMES, 2);
    expect(table.rowCount).toBe(3);
    expect(table.note).toBeUndefined();
    expect(table.row(1).slice(0, 5)).toEqual([37, 8, 15, 'silent', 0]);
    expect(table.row(2).slice(0, 4)).toEqual([4, 0, 7, 'dead']);
  });

  it('says how many units of all it holds where some are missing', () => {
    expect(livesTable([life([alive])], NAMES, 4096).note).toBe('1 of 4,096 units');
  });
});
