import { describe, expect, it } from 'vitest';
import type { Redundancy } from '../../data/types';
import { notComparedWords, twinMarks, whyNotCompared } from './twins';

const known: Redundancy = {
  redundant: [
    {
      activation: 4,
      layer: 'fc1',
      samples: 2048,
      units: [
        { unit: 17, twin: 3, opposite: false, difference: 2e-4 },
        { unit: 40, twin: 3, opposite: false, difference: 0 },
        { unit: 21, twin: 3, opposite: true, difference: 1e-3 },
        { unit: 9, twin: 8, opposite: true, difference: 0 },
      ],
    },
  ],
  not_compared: [
    { activation: 5, layer: 'lstm', reason: 'no weights' },
    { activation: 6, layer: '', reason: 'no weights' },
    { activation: 7, layer: 'fc3', reason: 'too few' },
  ],
};

describe('marks of twins', () => {
  const marks = twinMarks(known, 4);

  it('say what a redundant unit is like, and how closely', () => {
    expect(marks.get(17)).toEqual({
      opposite: false,
      words: 'the same as unit 3: differs by 0.02 % at most over 2,048 samples',
    });
    expect(marks.get(40)?.words).toBe('the same as unit 3: no difference over 2,048 samples');
    expect(marks.get(21)).toMatchObject({
      opposite: true,
      words: expect.stringMatching(/^the opposite of unit 3: /),
    });
  });

  it('stand beside the unit that is kept, too', () => {
    expect(marks.get(3)).toEqual({
      opposite: false,
      words: 'units 17 and 40 are the same, unit 21 is its opposite',
    });
    expect(marks.get(8)).toEqual({ opposite: true, words: 'unit 9 is its opposite' });
  });

  it('are none of other activations, and none while nothing is known', () => {
    expect(twinMarks(known, 5).size).toBe(0);
    expect(twinMarks(null, 4).size).toBe(0);
  });
});

describe('layers that were not compared', () => {
  it('say why', () => {
    expect(whyNotCompared(known, 5)).toBe('no weights');
    expect(whyNotCompared(known, 4)).toBe('');
    expect(notComparedWords(known)).toBe('lstm, (no name) (no weights); fc3 (too few)');
  });
});
