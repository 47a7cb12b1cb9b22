import { describe, expect, it } from 'vitest';
import { decodeFrame } from './frame';
import { decodeInputs, decodePage, pageAddress } from './maps';
import { encodeFrame } from './testing';

/** A page of two maps of 2 × 3, out of five. */
function page(changes: Parameters<typeof encodeFrame>[0] = {}) {
  return decodeFrame(
    encodeFrame({
      pictures: [Uint8Array.from([0, 1, 2, 3, 4, 5, 250, 251, 252, 253, 254, 255]), [2, 2, 3]],
      ranges: [Float32Array.from([-1, 1, Number.NaN, Number.NaN]), [2, 2]],
      nonfinite: [Float32Array.from([0, 6]), [2]],
      strength: [Float32Array.from([0.5, 0, 1, Number.NaN, 2]), [5]],
      ...changes,
    }),
  );
}

describe('decodePage', () => {
  it('keeps pictures, ranges and the strength of every map', () => {
    const decoded = decodePage(page(), 3);
    expect(decoded).toMatchObject({ first: 3, count: 2, height: 2, width: 3 });
    expect([...decoded.pixels.subarray(6)]).toEqual([250, 251, 252, 253, 254, 255]);
    expect([...decoded.ranges]).toEqual([-1, 1, Number.NaN, Number.NaN]);
    expect([...decoded.nonfinite]).toEqual([0, 6]);
    expect([...decoded.strength]).toEqual([0.5, 0, 1, Number.NaN, 2]);
  });

  it('takes a page without maps', () => {
    const none = page({
      pictures: [new Uint8Array(0), [0, 2, 3]],
      ranges: [new Float32Array(0), [0, 2]],
      nonfinite: [new Float32Array(0), [0]],
    });
    expect(decodePage(none, 5)).toMatchObject({ first: 5, count: 0 });
  });

  it.each([
    ['ranges that do not fit', page({ ranges: [new Float32Array(2), [1, 2]] }), 0],
    ['pictures of another type', page({ pictures: [new Float32Array(12), [2, 2, 3]] }), 0],
    ['more maps than there are', page(), 4],
  ])('refuses %s', (_what, frame, first) => {
    expect(() => decodePage(frame, first)).toThrow(/server/);
  });
});

describe('decodeInputs', () => {
  it('knows size and channels of the pictures', () => {
    const bytes = new Uint8Array(2 * 4 * 5 * 3).fill(7);
    const inputs = decodeInputs(decodeFrame(encodeFrame({ pictures: [bytes, [2, 4, 5, 3]] })));
    expect(inputs).toMatchObject({ count: 2, height: 4, width: 5, channels: 3 });
  });

  it('refuses channels that are no colours', () => {
    const frame = decodeFrame(encodeFrame({ pictures: [new Uint8Array(8), [1, 2, 2, 2]] }));
    expect(() => decodeInputs(frame)).toThrow('2 channels');
  });
});

describe('pageAddress', () => {
  it('escapes what names hold', () => {
    const query = { run: 'a&b', probe: '<i>', map: 2, step: 40, sample: 1, first: 64, count: 32 };
    expect(pageAddress(query)).toBe('maps?run=a%26b&probe=%3Ci%3E&map=2&step=40&sample=1&first=64&count=32');
  });
});
