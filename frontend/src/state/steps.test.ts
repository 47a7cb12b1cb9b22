import { describe, expect, it } from 'vitest';
import { recordAt, stepAtOrBefore, stepBy, zoomAround } from './steps';

const STEPS = [0, 1, 5, 9];

describe('records', () => {
  it.each([
    [0, 0],
    [1, 1],
    [2, 2],
    [5, 2],
    [6, 3],
    [99, 3],
  ])('step %i belongs to record %i', (step, record) => {
    expect(recordAt(STEPS, step)).toBe(record);
  });

  it('is nowhere in a run without records', () => {
    expect(recordAt([], 3)).toBe(-1);
    expect(stepBy([], 3, 1)).toBe(3);
  });
});

describe('stepBy', () => {
  it.each([
    [1, 1, 5],
    [1, -1, 0],
    [0, -1, 0],
    [9, 1, 9],
    [1, 10, 9],
    [3, 1, 5],
    [3, -1, 1],
  ])('from %i by %i to %i', (from, count, to) => {
    expect(stepBy(STEPS, from, count)).toBe(to);
  });
});

describe('zoomAround', () => {
  const long = Float64Array.from({ length: 1000 }, (_, i) => 2 * i);

  it('shows a few records on both sides', () => {
    expect(zoomAround(long, 1000, 30)).toEqual([940, 1060]);
  });

  it('stays inside the run', () => {
    expect(zoomAround(long, 0, 30)).toEqual([0, 120]);
    expect(zoomAround(long, 1998, 30)).toEqual([1878, 1998]);
  });

  it('leaves a short run alone', () => {
    expect(zoomAround(STEPS, 1, 30)).toBeNull();
  });
});

describe('stepAtOrBefore', () => {
  it.each([
    [null, 40],
    [40, 40],
    [39, 20],
    [1000, 40],
    [3, 10],
  ])('shows at step %j what was recorded at %i', (step, shown) => {
    expect(stepAtOrBefore([10, 20, 40], step)).toBe(shown);
  });

  it('shows nothing where there is nothing', () => {
    expect(stepAtOrBefore([], 5)).toBeNull();
  });
});
