import { describe, expect, it } from 'vitest';
import { STATE } from '../../charts/types';
import type { DeadSeries } from '../../data/types';
import { UNIT } from '../../lib/units';
import {
  cellWords,
  countAtEnd,
  countsTable,
  judgedOver,
  samplesSince,
  shareSeries,
  totalsOf,
  worstActivation,
} from './counts';

const STATES = 9;

/** Counts by activation, record and state; what is left out of a record is alive. */
function deadOf(
  units: readonly number[],
  counts: readonly (readonly Partial<Record<keyof typeof UNIT, number>>[])[],
  samples = 512,
): DeadSeries {
  const length = counts[0]!.length;
  const all = new Uint32Array(units.length * STATES * length);
  for (const [place, records] of counts.entries())
    for (const [record, states] of records.entries()) {
      let alive = units[place]!;
      for (const [name, count] of Object.entries(states)) {
        all[(place * STATES + UNIT[name as keyof typeof UNIT]) * length + record] = count;
        alive -= count;
      }
      all[(place * STATES + UNIT.alive) * length + record]! += alive;
    }
  return {
    revision: '1',
    activations: units.map((_, place) => 2 * place + 1),
    thresholds: { samples: 1000, windows: 2, sparse: 0.01, saturated: 0.95, flat: 1e-3 },
    steps: Float64Array.from({ length }, (_, record) => 8 * record + 7),
    spans: new Float64Array(length).fill(8),
    samples: new Float32Array(units.length * length).fill(samples),
    units: Uint32Array.from(units),
    counts: all,
    states: STATES,
  };
}

const ill = deadOf(
  [10, 64],
  [
    [{ neverRun: 10 }, { dead: 1 }, { notRecorded: 10 }],
    [{}, { silent: 37 }, { dead: 36, revived: 1 }],
  ],
);

describe('counts of units', () => {
  it('at the end are those of the last record that an activation has', () => {
    expect(countAtEnd(ill, 0, UNIT.dead)).toBe(1);
    expect(countAtEnd(ill, 1, UNIT.dead)).toBe(36);
    expect(totalsOf(ill, UNIT.dead)).toMatchObject({ units: 74, activations: 2, count: 37, affected: 2 });
  });

  it('put the activation with most dead units first', () => {
    expect(worstActivation(ill)).toBe(3);
    expect(worstActivation(deadOf([4, 4], [[{}], [{ sparse: 4 }]]))).toBeNull();
    expect(worstActivation(deadOf([8, 4], [[{ dead: 2 }], [{ dead: 2 }]]))).toBe(3);
  });

  it('put the worst of some activations first', () => {
    expect(worstActivation(ill, [1])).toBe(1);
    expect(worstActivation(ill, [])).toBeNull();
  });

  it('leave out activations that were never recorded', () => {
    expect(totalsOf(deadOf([4, 9], [[{}], [{ notRecorded: 9 }]]), UNIT.dead)).toMatchObject({
      units: 4,
      activations: 1,
    });
    expect(totalsOf(deadOf([], [[]]), UNIT.dead)).toMatchObject({ units: 0, activations: 0, samples: 0 });
  });
});

describe('the samples of a verdict', () => {
  it('are those of as many records as the thresholds take', () => {
    expect(judgedOver(ill, 1, 2)).toBe(1024);
    expect(judgedOver(ill, 1, 0)).toBe(512);
    expect(judgedOver(deadOf([4], [[{}, {}, {}]], 5000), 0, 2)).toBe(10000);
  });

  it('pass over records that were not recorded', () => {
    expect(judgedOver(deadOf([4], [[{}, { notRecorded: 4 }, {}]]), 0, 2)).toBe(1024);
  });
});

describe('the samples since a step', () => {
  it('are those of the records that begin there or later', () => {
    expect(samplesSince(ill, 1, 8)).toBe(1024);
    expect(samplesSince(ill, 1, 9)).toBe(512);
    expect(samplesSince(ill, 0, 0)).toBe(1024);
    expect(samplesSince(ill, 1, Number.POSITIVE_INFINITY)).toBe(0);
  });
});

describe('shares of units', () => {
  it('stand in the rows of their activations', () => {
    const { values, states } = shareSeries(ill, UNIT.dead, 4);
    expect([...states.subarray(9)]).toEqual([STATE.number, STATE.number, STATE.number]);
    expect([...values.subarray(9)]).toEqual([0, 0, 36 / 64]);
    expect([...states.subarray(6, 9)]).toEqual(new Array(3).fill(STATE.notRecorded));
  });

  it('tell what never ran from what was not recorded', () => {
    expect([...shareSeries(ill, UNIT.dead, 4).states.subarray(3, 6)]).toEqual([
      STATE.neverRun,
      STATE.number,
      STATE.notRecorded,
    ]);
  });

  it('are said with their denominators', () => {
    expect(cellWords(ill, 1, 2, UNIT.dead, 'Dead')).toBe(
      '36 of 64 dead · fired in 0 of at least 1,024 samples',
    );
    expect(cellWords(ill, 1, 2, UNIT.sparse, 'Sparse')).toBe('0 of 64 sparse · judged over 1,024 samples');
    expect(cellWords(ill, 0, 0, UNIT.dead, 'Dead')).toBe('never run');
    expect(cellWords(ill, 0, 2, UNIT.dead, 'Dead')).toBe('not recorded');
  });

  it('are counts in the table behind them', () => {
    const table = countsTable(ill, UNIT.dead, ['', 'fc1', '', 'fc2'], [0, 3]);
    expect(table.columns).toEqual(['first step', 'last step', 'fc2 (of 64)']);
    expect(table.row(2)).toEqual([16, 23, 36]);
  });
});
