import { describe, expect, it } from 'vitest';
import { uniformMatrix } from '../../charts/harness/data';
import { type Matrix, STATE } from '../../charts/types';
import { depthWords } from './depth';

function spreads(...values: number[]): Matrix {
  return { ...uniformMatrix(3, 1, 0), values: Float32Array.from(values) };
}

describe('depthWords', () => {
  it('says whether the signal shrinks, grows or stays', () => {
    expect(depthWords(spreads(1, 0.1, 0.001), [0, 1, 2], 0)).toBe('Signal shrinks to 1/1,000: std 1 → 0.001');
    expect(depthWords(spreads(0.1, 1, 3), [0, 1, 2], 0)).toBe('Signal grows 30-fold: std 0.1 → 3');
    expect(depthWords(spreads(1, 9, 1.5), [0, 1, 2], 0)).toMatch(/^Signal keeps its size/);
  });

  it('leaves out rows without a spread, and is silent where nothing can be compared', () => {
    const matrix = { ...spreads(0, 2, 8), states: Uint8Array.of(0, 0, STATE.nonfinite) };
    expect(depthWords(matrix, [0, 1, 2], 0)).toBe('');
    expect(depthWords(spreads(0, 2, 8), [0, 1, 2], 0)).toMatch(/^Signal grows 4-fold: std 2/);
    expect(depthWords(spreads(1, 2, 8), [], 0)).toBe('');
    expect(depthWords(spreads(1, 2, 8), [0, 1, 2], 77)).toBe('');
  });
});
