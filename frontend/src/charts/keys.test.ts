import { describe, expect, it } from 'vitest';
import { placeColumns } from './columns';
import { offsetFor } from './heatmap/scroll';
import { recordedStep } from './keys';

const columns = placeColumns(Float64Array.of(0, 4, 8, 15, 23), Float64Array.of(1, 1, 1, 7, 8));

describe('recordedStep', () => {
  it.each([
    [4, 1, 8],
    [4, -1, 0],
    [0, -1, 0],
    [12, 1, 23],
    [0, 10, 23],
    [8, Number.NEGATIVE_INFINITY, 0],
    [8, Number.POSITIVE_INFINITY, 23],
    [null, 1, 0],
    [null, -1, 23],
  ])('from %j by %d is %d', (step, by, to) => {
    expect(recordedStep(columns, step, by)).toBe(to);
  });

  it('has nowhere to go without records', () => {
    expect(recordedStep(placeColumns(new Float64Array(), new Float64Array()), 3, 1)).toBeNull();
  });
});

describe('offsetFor', () => {
  it('moves as little as brings a row into view', () => {
    expect(offsetFor(0, 50, 10, 200)).toBe(0);
    expect(offsetFor(0, 500, 10, 200)).toBe(334);
    expect(offsetFor(600, 500, 10, 200)).toBe(476);
  });
});
