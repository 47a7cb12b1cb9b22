import { describe, expect, it } from 'vitest';
import type { Fact } from '../data/types';
import { rowFlags, stepMarks } from './marks';

const fact = (kind: string, layers: number[], step: number): Fact => ({
  id: `${kind}:${layers[0]}`,
  kind,
  title: '',
  detail: '',
  statistic: 'gradient_norm',
  layers,
  step,
  last_step: step,
  evidence: {},
});

const facts = [fact('zero_gradient', [3, 4], 10), fact('nonfinite', [7], 20), fact('made_up_later', [], 0)];

describe('rowFlags', () => {
  it('flag the first layer of each fact, and only NaN as more than a note', () => {
    expect(rowFlags(facts, null)).toEqual([
      { row: 3, severity: 'note', remark: 'all zero' },
      { row: 7, severity: 'warning', remark: 'NaN or infinite' },
    ]);
  });

  it('put the selected fact first, so that it wins where two share a row', () => {
    expect(rowFlags(facts, facts[1]!).map(({ row }) => row)).toEqual([7, 3]);
  });
});

describe('stepMarks', () => {
  it('show where facts about the layer begin, unless the cursor stands there', () => {
    expect(stepMarks(facts, 4, 0).map(({ step }) => step)).toEqual([10]);
    expect(stepMarks(facts, 4, 10)).toEqual([]);
    expect(stepMarks(facts, 9, 0)).toEqual([]);
    expect(stepMarks(facts, null, 0)).toEqual([]);
  });
});
