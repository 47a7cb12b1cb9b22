import { describe, expect, it } from 'vitest';
import { UNIT } from '../lib/units';
import { deadAddress, unitsAddress } from './client';
import { decodeDead, decodeUnits } from './decode';
import { decodeFrame } from './frame';
import { encodeFrame } from './testing';

const THRESHOLDS = { samples: 1000, windows: 2, sparse: 0.01, saturated: 0.95, flat: 1e-3 };
const STATES = 9;

function deadFrame(extra: Readonly<Record<string, unknown>> = {}, states = STATES) {
  const counts = new Uint32Array(2 * states * 3);
  counts[(1 * states + UNIT.dead) * 3 + 2] = 37;
  return decodeFrame(
    encodeFrame(
      {
        steps: [new Float64Array([7, 15, 31]), [3]],
        spans: [new Float64Array([8, 8, 16]), [3]],
        samples: [new Float32Array([512, 512, 1024, 512, 0, 1024]), [2, 3]],
        units: [new Uint32Array([10, 64]), [2]],
        counts: [counts, [2, states, 3]],
      },
      { run: 'r', revision: '1', activations: [0, 4], thresholds: THRESHOLDS, ...extra },
    ),
  );
}

describe('decodeDead', () => {
  it('keeps counts by activation, state and record', () => {
    const dead = decodeDead(deadFrame(), STATES);
    expect(dead.activations).toEqual([0, 4]);
    expect([...dead.units]).toEqual([10, 64]);
    expect(dead.counts[(1 * STATES + UNIT.dead) * 3 + 2]).toBe(37);
    expect(dead.thresholds).toEqual(THRESHOLDS);
  });

  it('does not take counts of other states than the catalogue lists', () => {
    expect(() => decodeDead(deadFrame({}, 8), STATES)).toThrow(/counts has the shape/);
  });

  it('does not take counts without their activations', () => {
    expect(() => decodeDead(deadFrame({ activations: null }), STATES)).toThrow(/without their activations/);
  });
});

function unitFrame(extra: Readonly<Record<string, unknown>> = {}) {
  const matrix = (start: number): [Float32Array, number[]] => [
    Float32Array.from([0, 1, 2, 3, 4, 5], (i) => start + i),
    [2, 3],
  ];
  return decodeFrame(
    encodeFrame(
      {
        steps: [new Float64Array([7, 15, 31]), [3]],
        spans: [new Float64Array([8, 8, 16]), [3]],
        samples: [new Float32Array([512, 512, 1024]), [3]],
        counted: [new Float32Array([64, 64, 128]), [3]],
        states: [new Uint8Array([0, 8, 2, 0, 1, 7]), [2, 3]],
        fired: matrix(0),
        mean: matrix(10),
        std: matrix(20),
        largest: matrix(30),
        saturated: matrix(40),
        gradient: matrix(50),
        since: [new Float64Array([8, Number.NaN]), [2]],
      },
      { run: 'r', revision: '1', activation: 4, units: 64, unit: [40, 3], ...extra },
    ),
  );
}

describe('decodeUnits', () => {
  it('keeps every column of the rows that were asked for', () => {
    const page = decodeUnits(unitFrame());
    expect([page.activation, page.total, page.unit]).toEqual([4, 64, [40, 3]]);
    expect([...page.states]).toEqual([0, 8, 2, 0, 1, 7]);
    expect([page.mean[3], page.std[3], page.largest[3], page.gradient[3]]).toEqual([13, 23, 33, 53]);
    expect([...page.since]).toEqual([8, Number.NaN]);
  });

  it('does not take units without saying which', () => {
    expect(() => decodeUnits(unitFrame({ unit: undefined }))).toThrow(/without saying which/);
    expect(() => decodeUnits(unitFrame({ unit: [40] }))).toThrow(/has the shape/);
  });
});

describe('addresses', () => {
  it('leave the thresholds to the server where nobody moved them', () => {
    expect(deadAddress('a b', { samples: undefined, windows: undefined })).toBe('dead?run=a+b');
    expect(deadAddress('r', { samples: 5000, windows: 3 })).toBe('dead?run=r&samples=5000&windows=3');
  });

  it('say which rows of which order', () => {
    const query = { run: 'r', activation: 0, first: 256, count: 256, sort: 'death' } as const;
    expect(unitsAddress(query)).toBe('units?run=r&activation=0&first=256&count=256&sort=death');
  });
});
