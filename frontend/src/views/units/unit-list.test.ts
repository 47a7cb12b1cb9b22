import { describe, expect, it } from 'vitest';
import type { DeadSeries, UnitPage } from '../../data/types';
import { UNIT } from '../../lib/units';
import { BATCH } from './pages';
import { inState, listTable, listUnits, merged, type PageWanted, redundantUnits } from './unit-list';

/** Units whose lives are given state by state; 512 samples a record of 8 steps. */
function pageOf(activation: number, lives: readonly (readonly number[])[], first = 0): UnitPage {
  const length = lives[0]?.length ?? 0;
  const matrix = (value: number) => new Float32Array(lives.length * length).fill(value);
  return {
    activation,
    total: lives.length,
    unit: lives.map((_, place) => first + place),
    steps: Float64Array.from({ length }, (_, record) => 8 * record + 7),
    spans: new Float64Array(length).fill(8),
    samples: new Float32Array(length).fill(512),
    counted: new Float32Array(length).fill(64),
    states: Uint8Array.from(lives.flat()),
    fired: matrix(0),
    mean: matrix(0),
    std: matrix(0),
    largest: matrix(-1),
    saturated: matrix(0),
    gradient: matrix(0),
    since: new Float64Array(lives.length),
  };
}

const { alive, dead, silent, notRecorded, sparse } = UNIT;

describe('units in a state', () => {
  it('are those of the last record, since the silence began', () => {
    const page = pageOf(2, [
      [alive, silent, dead],
      [alive, dead, alive],
      [dead, dead, notRecorded],
    ]);
    expect(inState(page, dead)).toMatchObject([
      { activation: 2, unit: 0, state: { since: 8, samples: 1024 } },
      { activation: 2, unit: 2, state: { since: 0, samples: 1024 } },
    ]);
    expect(inState(page, sparse)).toEqual([]);
  });
});

describe('the list of a run', () => {
  const counts = (units: number, inState: number): DeadSeries => {
    const all = new Uint32Array(9).fill(0);
    all[dead] = inState;
    all[alive] = units - inState;
    return {
      revision: '1',
      activations: [3],
      thresholds: { samples: 1000, windows: 2, sparse: 0.01, saturated: 0.95, flat: 1e-3 },
      steps: Float64Array.of(7),
      spans: Float64Array.of(8),
      samples: Float32Array.of(512),
      units: Uint32Array.of(units),
      counts: all,
      states: 9,
    };
  };
  const asked = async (units: number, inState: number) => {
    const wanted: PageWanted[] = [];
    const list = await listUnits(counts(units, inState), dead, async (page) => {
      wanted.push(page);
      const rows = Math.min(BATCH, units - page.first);
      return pageOf(
        3,
        Array.from({ length: rows }, (_, row) => [page.first + row < inState ? dead : alive]),
        page.first,
      );
    });
    return { wanted: wanted.map(({ first }) => first), found: list.length };
  };

  it('reads no further than the last unit of the state', async () => {
    expect(await asked(4 * BATCH, 3)).toEqual({ wanted: [0], found: 3 });
    expect(await asked(4 * BATCH, BATCH + 1)).toEqual({ wanted: [0, BATCH], found: BATCH + 1 });
  });

  it('asks for nothing where the counts know of none', async () => {
    expect(await asked(4 * BATCH, 0)).toEqual({ wanted: [], found: 0 });
  });

  it('is a table with the layer first', async () => {
    const units = inState(pageOf(1, [[alive, dead]]), dead);
    const table = listTable(units, { state: 'dead', redundant: false }, ['', 'fc1 · ReLU'], ['', 'fc1']);
    expect(table.row(0)).toEqual(['fc1', 'fc1 · ReLU', 0, 8, 512, 0, 0, -1]);
  });
});

describe('redundant units', () => {
  const twins = redundantUnits({
    redundant: [
      {
        activation: 1,
        layer: 'fc1',
        samples: 400,
        units: [
          { unit: 5, twin: 0, opposite: false, difference: 2e-4 },
          { unit: 6, twin: 1, opposite: true, difference: 0 },
        ],
      },
    ],
    not_compared: [],
  });
  const names = ['', 'fc1 · ReLU'];
  const layers = ['', 'fc1'];

  it('are listed beside the unit that they are like', () => {
    const table = listTable(twins, { state: null, redundant: true }, names, layers);
    expect(table.columns.slice(2)).toEqual([
      'unit',
      'what',
      'twin',
      'largest difference',
      'samples compared',
    ]);
    expect([table.row(0), table.row(1)]).toEqual([
      ['fc1', 'fc1 · ReLU', 5, 'same as its twin', 0, 2e-4, 400],
      ['fc1', 'fc1 · ReLU', 6, 'opposite of its twin', 1, 0, 400],
    ]);
  });

  it('stand in one list with those in a state, each once', () => {
    const rare = inState(pageOf(1, [[alive, sparse]], 5), sparse);
    const dying = inState(pageOf(1, [[alive, dead]], 3), dead);
    const all = merged([...rare, ...dying], twins);
    const table = listTable(all, { state: 'sparse', redundant: true }, names, layers);
    expect(all.map(({ unit }) => unit)).toEqual([3, 5, 6]);
    expect(table.row(1)).toEqual([
      'fc1',
      'fc1 · ReLU',
      5,
      'sparse, same as its twin',
      0,
      2e-4,
      400,
      8,
      512,
      0,
      0,
      -1,
    ]);
    expect(table.row(2).slice(4)).toEqual([1, 0, 400, null, null, null, null, null]);
  });
});
