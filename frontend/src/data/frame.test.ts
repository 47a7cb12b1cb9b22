import { describe, expect, it } from 'vitest';
import { decodeMetrics, decodeSeries } from './decode';
import { DataError } from './errors';
import { arrayOf, decodeFrame } from './frame';
import { encodeFrame } from './testing';

const SPECIALS = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 1e-45];

describe('decodeFrame', () => {
  it('keeps every bit of special numbers', () => {
    const frame = decodeFrame(
      encodeFrame({ a: [new Float32Array(SPECIALS), [5]], b: [new Float64Array(SPECIALS), [5]] }),
    );
    expect([...arrayOf(frame, 'a', 'float32', [5])]).toEqual([...new Float32Array(SPECIALS)]);
    expect([...arrayOf(frame, 'b', 'float64', [5])]).toEqual(SPECIALS);
  });

  it('reads empty arrays, odd lengths and several types side by side', () => {
    const frame = decodeFrame(
      encodeFrame({
        empty: [new Float32Array(0), [0, 3]],
        bytes: [new Uint8Array([1, 2, 3]), [3]],
        counts: [new Uint32Array([4294967295]), [1]],
      }),
    );
    expect(arrayOf(frame, 'empty', 'float32', [0, null])).toHaveLength(0);
    expect([...arrayOf(frame, 'bytes', 'uint8', [3])]).toEqual([1, 2, 3]);
    expect([...arrayOf(frame, 'counts', 'uint32', [1])]).toEqual([4294967295]);
  });

  it('makes views of the answer instead of copies', () => {
    const buffer = encodeFrame({ a: [new Float32Array([1, 2]), [2]] });
    expect(arrayOf(decodeFrame(buffer), 'a', 'float32', [2]).buffer).toBe(buffer);
  });

  const whole = () => encodeFrame({ a: [new Float64Array([1, 2, 3]), [3]] });

  it('names what is missing for every cut', () => {
    const buffer = whole();
    for (let length = 0; length < buffer.byteLength; length++) {
      expect(() => decodeFrame(buffer.slice(0, length)), `cut at ${length}`).toThrow(DataError);
    }
    expect(() => decodeFrame(buffer.slice(0, buffer.byteLength - 8))).toThrow(/within the array a/);
    expect(() => decodeFrame(buffer.slice(0, 20))).toThrow(/within its header/);
  });

  it.each([
    ['unknown type', { name: 'a', dtype: 'int8', shape: [1], offset: 0 }, /unknown type int8/],
    ['inherited name as a type', { name: 'a', dtype: 'toString', shape: [1], offset: 0 }, /unknown type/],
    ['negative length', { name: 'a', dtype: 'uint8', shape: [-1], offset: 0 }, /no valid shape/],
    ['misaligned offset', { name: 'a', dtype: 'float64', shape: [1], offset: 4 }, /not aligned/],
    ['fractional offset', { name: 'a', dtype: 'uint8', shape: [1], offset: 0.5 }, /no valid offset/],
    ['no name', { dtype: 'uint8', shape: [1], offset: 0 }, /no name/],
    ['nothing', null, /no name/],
  ])('refuses an array with %s', (_, entry, words) => {
    expect(() => decodeFrame(encodeFrame({ z: [new Float64Array(4), [4]] }, { arrays: [entry] }))).toThrow(
      words,
    );
  });

  it('refuses a payload that is not aligned and a header that is not JSON', () => {
    const odd = new ArrayBuffer(24);
    new DataView(odd).setUint32(0, 5, true);
    expect(() => decodeFrame(odd)).toThrow(/not aligned/);
    new DataView(odd).setUint32(0, 12, true);
    expect(() => decodeFrame(odd)).toThrow(/not JSON/);
  });
});

describe('arrayOf', () => {
  const frame = decodeFrame(encodeFrame({ a: [new Float32Array(6), [2, 3]] }));

  it('says which array has the wrong type or shape', () => {
    expect(() => arrayOf(frame, 'a', 'float64', [2, 3])).toThrow(/array a holds float32, not float64/);
    expect(() => arrayOf(frame, 'a', 'float32', [3, 2])).toThrow(
      /array a has the shape \[2,3\], not \[3,2\]/,
    );
    expect(() => arrayOf(frame, 'a', 'float32', [6])).toThrow(/shape/);
    expect(() => arrayOf(frame, 'b', 'float32', [6])).toThrow(/array b is missing/);
  });
});

describe('decodeSeries', () => {
  const columns = {
    steps: [new Float64Array([0, 1, 2]), [3]],
    spans: [new Float64Array([1, 1, 1]), [3]],
    observations: [new Float32Array([1, 1, 1]), [3]],
    values: [new Float32Array(6), [2, 3]],
    states: [new Uint8Array(6), [2, 3]],
  } as const;
  const header = { statistic: 'gradient_norm', rows: 'layers', row: [0, 7] };

  it('reads a series with and without a band', () => {
    const plain = decodeSeries(decodeFrame(encodeFrame(columns, header)));
    expect(plain.rows).toEqual([0, 7]);
    expect(plain.low).toBeNull();
    const low = [new Float32Array(6).fill(1), [2, 3]] as const;
    const banded = decodeSeries(decodeFrame(encodeFrame({ ...columns, low, high: low }, header)));
    expect(banded.high?.[5]).toBe(1);
  });

  it('refuses matrices that do not fit the rows', () => {
    const frame = decodeFrame(encodeFrame(columns, { ...header, row: [0] }));
    expect(() => decodeSeries(frame)).toThrow(/values has the shape \[2,3\], not \[1,3\]/);
  });
});

describe('decodeMetrics', () => {
  it('reads metrics of different lengths', () => {
    const metric = (i: number, n: number) => ({
      [`${i}.steps`]: [new Float64Array(n), [n]] as const,
      [`${i}.spans`]: [new Float64Array(n), [n]] as const,
      ...Object.fromEntries(
        ['observations', 'mean', 'min', 'max', 'nonfinite'].map((c) => [
          `${i}.${c}`,
          [new Float32Array(n), [n]] as const,
        ]),
      ),
    });
    const names = [
      { name: '<img onerror=…>', role: 'train_loss' },
      { name: 'b', role: '' },
    ];
    const frame = decodeFrame(encodeFrame({ ...metric(0, 5), ...metric(1, 0) }, { metrics: names }));
    const metrics = decodeMetrics(frame);
    expect(metrics.map((m) => [m.name, m.role, m.mean.length])).toEqual([
      ['<img onerror=…>', 'train_loss', 5],
      ['b', '', 0],
    ]);
  });
});
