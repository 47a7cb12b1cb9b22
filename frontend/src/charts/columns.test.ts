import { describe, expect, it } from 'vitest';
import { nearestRecord, placeColumns, recordAt, stepExtent } from './columns';
import { records } from './harness/data';

function columns(steps: number[], spans = steps.map(() => 1)) {
  return placeColumns(Float64Array.from(steps), Float64Array.from(spans));
}

/** Pairs of neighbours between which the axis is open. */
function gaps({ left, right, length }: ReturnType<typeof columns>): number[] {
  return Array.from({ length }, (_, index) => index).filter(
    (index) => index > 0 && left[index]! > right[index - 1]!,
  );
}

describe('placeColumns', () => {
  it('lets windows of growing width touch, however long the run', () => {
    const { steps, spans } = records(100_000);
    expect(gaps(placeColumns(steps, spans))).toEqual([]);
  });

  it('takes regular observations for continuous', () => {
    expect(gaps(columns([0, 16, 32, 48, 64]))).toEqual([]);
  });

  it('takes a changed interval for no gap', () => {
    expect(gaps(columns([0, 1, 2, 3, 4, 20, 36, 52, 68]))).toEqual([]);
    expect(gaps(columns([0, 16, 32, 48, 49, 50, 51]))).toEqual([]);
  });

  it('leaves a gap where steps are missing, and half an interval on either side', () => {
    const placed = columns([0, 4, 8, 12, 100, 104, 108]);
    expect(gaps(placed)).toEqual([4]);
    expect([placed.right[3], placed.left[4]]).toEqual([14, 98]);
  });

  it('covers a window from its first step to its last', () => {
    const placed = columns([3, 7], [4, 4]);
    expect([...placed.left]).toEqual([-0.5, 3.5]);
    expect([...placed.right]).toEqual([3.5, 7.5]);
    expect([...placed.first]).toEqual([0, 4]);
  });

  it('takes a span that is NaN or zero for one step', () => {
    expect([...columns([5, 6], [Number.NaN, 0]).first]).toEqual([5, 6]);
  });

  it('takes nothing, and one record', () => {
    expect(columns([]).length).toBe(0);
    expect([...columns([7]).left, ...columns([7]).right]).toEqual([6.5, 7.5]);
  });
});

describe('recordAt', () => {
  const placed = columns([0, 4, 8, 12, 100, 104, 108]);

  it.each([
    [0, 0],
    [1.9, 0],
    [2, 1],
    [13, 3],
    [50, -1],
    [-1, -1],
    [108.4, 6],
    [109, -1],
  ])('of step %d is %i', (step, record) => {
    expect(recordAt(placed, step)).toBe(record);
  });

  it('finds the nearest across a gap and beyond the ends', () => {
    expect([20, 90, -5, 500].map((step) => nearestRecord(placed, step))).toEqual([3, 4, 0, 6]);
    expect(nearestRecord(columns([]), 3)).toBe(-1);
  });
});

describe('stepExtent', () => {
  it('goes from edge to edge', () => {
    expect(stepExtent(Float64Array.of(3, 9), Float64Array.of(4, 1))).toEqual([-0.5, 9.5]);
    expect(stepExtent(Float64Array.of(), Float64Array.of())).toEqual([0, 1]);
  });
});
