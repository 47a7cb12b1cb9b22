import { describe, expect, it } from 'vitest';
import { budgetWords, kindWords, rankWords, sampleName, scaleWords, sourceWords } from './words';

const source = { module: 'conv1', kind: 'feature_map', maps: 64, height: 16, width: 32 };
const scale = { signed: false, domain: () => null };

describe('words about maps', () => {
  it('say what a module has', () => {
    expect(sourceWords(source)).toBe('64 channels of 16 × 32');
    expect(sourceWords({ ...source, kind: 'attention', maps: 1 })).toBe('1 head of 16 × 32');
  });

  it('know no kind of a newer writer, and still say something', () => {
    expect(kindWords('integrated_gradients')).toMatchObject({ noun: 'map', label: 'integrated_gradients' });
  });

  it('say how much of the budget is used', () => {
    expect(budgetWords({ bytes: 2 ** 24, budget: 2 ** 26 })).toBe('16 MiB of the budget of 64 MiB (25 %)');
    expect(budgetWords({ bytes: 5, budget: 0 })).toBe('5 bytes of maps');
  });

  it('say what the scale was taken from', () => {
    const over = { maps: 64, steps: 3, sides: 1 };
    expect(scaleWords({ ...scale, mode: 'map', over }, source, 50)).toBe('each channel over its own range');
    expect(scaleWords({ ...scale, mode: 'map', over: { ...over, sides: 2 } }, source, 50)).toBe(
      'each channel over its range on both sides',
    );
    expect(scaleWords({ ...scale, mode: 'step', over }, source, 50)).toBe(
      'the same for all 64 channels at this step',
    );
    expect(scaleWords({ ...scale, mode: 'step', over: { ...over, maps: 8 } }, source, 50)).toBe(
      'the same for 8 of 64 channels loaded at this step',
    );
    expect(scaleWords({ ...scale, mode: 'steps', over }, source, 50)).toBe(
      'the same at the 3 steps loaded, of 50',
    );
  });

  it.each([
    [[3, 1, 2], 0, '1st of 3'],
    [[3, 1, 2], 1, '3rd of 3'],
    [[3, 3, 2], 1, '1st of 3'],
    [[3, Number.NaN], 1, 'not finite'],
  ])('rank %j', (strength, index, words) => {
    expect(rankWords(Float32Array.from(strength), index)).toBe(words);
  });

  it('name inputs that have no label', () => {
    const probe = { labels: ['cat', ' '] } as unknown as Parameters<typeof sampleName>[0];
    expect([0, 1, 2].map((index) => sampleName(probe, index))).toEqual(['cat', 'Input 1', 'Input 2']);
  });
});
