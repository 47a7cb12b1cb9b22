import { describe, expect, it } from 'vitest';
import {
  decodeLayerSimilarity,
  decodePoints,
  decodeSimilarity,
  decodeStepTable,
  decodeThumbnails,
  layoutAddress,
  pointsAddress,
  similarityAddress,
} from './embeddings';
import { decodeFrame } from './frame';
import { encodeFrame } from './testing';

type Arrays = Parameters<typeof encodeFrame>[0];

function points(arrays: Arrays = {}, header: Record<string, unknown> = { step: 40, set: 1 }) {
  return decodeFrame(
    encodeFrame(
      {
        positions: [Float32Array.from([0, 1, Number.NaN, Number.NaN, 2, 3]), [3, 2]],
        predictions: [Float32Array.from([4, 0, Number.NaN]), [3]],
        ...arrays,
      },
      header,
    ),
  );
}

describe('decodePoints', () => {
  it('keeps positions and predictions, also of points that are nowhere', () => {
    const decoded = decodePoints(points());
    expect(decoded).toMatchObject({ step: 40, set: 1, count: 3, dims: 2 });
    expect([...decoded.positions]).toEqual([0, 1, Number.NaN, Number.NaN, 2, 3]);
    expect([...decoded.predictions!]).toEqual([4, 0, Number.NaN]);
  });

  it('has no predictions where none were made', () => {
    expect(decodePoints(points({ predictions: [new Float32Array(0), [0]] })).predictions).toBeNull();
  });

  it.each([
    ['predictions of other points', points({ predictions: [new Float32Array(2), [2]] })],
    ['four dimensions', points({ positions: [new Float32Array(12), [3, 4]] })],
    ['a missing set', points({}, { step: 40 })],
  ])('refuses %s', (_what, frame) => {
    expect(() => decodePoints(frame)).toThrow(/server/);
  });
});

describe('decodeStepTable', () => {
  const table = (header: Record<string, unknown>) =>
    decodeFrame(encodeFrame({ values: [Float32Array.from([1, 2, 3, 4, 5, 6]), [3, 2]] }, header));

  it('has a row for each step', () => {
    const decoded = decodeStepTable(table({ steps: [0, 5, 9], columns: ['set', 'drift'] }));
    expect(decoded.steps).toEqual([0, 5, 9]);
    expect([...decoded.values.subarray(2, 4)]).toEqual([3, 4]);
  });

  it.each([
    { steps: [0, 5], columns: ['set', 'drift'] },
    { steps: [0, 5, 9] },
    { steps: ['0', '5', '9'], columns: ['set', 'drift'] },
  ])('refuses %j', (header) => {
    expect(() => decodeStepTable(table(header))).toThrow(/server/);
  });
});

describe('thumbnails', () => {
  it('know which ones they are', () => {
    const frame = decodeFrame(encodeFrame({ thumbnails: [new Uint8Array(24), [2, 2, 2, 3]] }));
    expect(decodeThumbnails(frame, 512)).toMatchObject({ first: 512, count: 2, height: 2, channels: 3 });
  });

  it('have one channel or three', () => {
    const frame = decodeFrame(encodeFrame({ thumbnails: [new Uint8Array(16), [2, 2, 2, 2]] }));
    expect(() => decodeThumbnails(frame, 0)).toThrow('2 channels');
  });
});

describe('similarities', () => {
  it('lie between steps', () => {
    const values = Float32Array.from([1, 0.5]);
    const header = { steps: [10], other_steps: [0, 10] };
    const decoded = decodeSimilarity(decodeFrame(encodeFrame({ values: [values, [1, 2]] }, header)));
    expect(decoded).toMatchObject({ steps: [10], otherSteps: [0, 10] });
  });

  it('lie between layers', () => {
    const values = new Float32Array(4).fill(1);
    const header = { names: ['fc1', '<b>'], steps: [10, 5] };
    const decoded = decodeLayerSimilarity(decodeFrame(encodeFrame({ values: [values, [2, 2]] }, header)));
    expect(decoded.names).toEqual(['fc1', '<b>']);
  });
});

describe('addresses', () => {
  const of = { run: 'a&b', embedding: '<i>' };
  it('escape what names hold', () => {
    expect(pointsAddress({ ...of, layout: 1, step: 40 })).toBe(
      'points?run=a%26b&embedding=%3Ci%3E&layout=1&step=40',
    );
    expect(layoutAddress(of, 0)).toBe('layout?run=a%26b&embedding=%3Ci%3E&layout=0');
    expect(similarityAddress(of, { run: 'c', embedding: 'd' })).toBe(
      'similarity?run=a%26b&embedding=%3Ci%3E&other_run=c&other=d',
    );
  });
});
