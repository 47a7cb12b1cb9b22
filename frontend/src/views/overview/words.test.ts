import { describe, expect, it } from 'vitest';
import type { Grade } from '../../data/findings';
import { beyondWords, firstOf, stepsOf, tally } from './words';

const graded = (...grades: Grade[]) => grades.map((severity) => ({ severity }));

describe('the words of findings', () => {
  it('count by severity, the worst first', () => {
    expect(tally(graded('info', 'critical', 'warning', 'info', 'critical'))).toBe(
      '2 critical · 1 warning · 2 notes',
    );
    expect(tally([])).toBe('');
  });

  it('say the steps', () => {
    expect(stepsOf({ first_step: 1672, last_step: 9920 })).toBe('steps 1,672–9,920');
    expect(stepsOf({ first_step: 5, last_step: 5 })).toBe('step 5');
    expect(stepsOf({ first_step: 5, last_step: null })).toBe('step 5');
    expect(stepsOf({ first_step: null, last_step: null })).toBe('');
  });

  it.each([
    [1, 0.25, '4 times the threshold'],
    [1e-9, 1e-6, '1/1,000 of the threshold'],
    [5, 5, 'about at the threshold'],
    [3, 0, ''],
    [-3, 1, ''],
    [null, 1, ''],
    [1, null, ''],
  ])('say how far %s is beyond %s', (measured, threshold, words) => {
    expect(beyondWords(measured, threshold)).toBe(words);
  });

  it('name the first of several', () => {
    expect(firstOf(['A', 'B', 'C'])).toBe('A, 2 more');
    expect(firstOf(['A'])).toBe('A');
    expect(firstOf([])).toBe('');
  });
});
