import { describe, expect, it } from 'vitest';
import { stepsAround, within } from './moment';

const steps = Float64Array.from({ length: 200 }, (_, record) => 2 * record + 1);
const curve = (length: number) => ({
  label: '',
  steps: steps.slice(0, length),
  spans: new Float64Array(length).fill(2),
  values: Float32Array.from({ length }, (_, record) => record),
});

describe('the steps around a moment', () => {
  it('hold as many records before as after', () => {
    expect(stepsAround(steps, 201)).toEqual([201 - 2 * 24 - 0.5, 201 + 2 * 24 + 0.5]);
  });

  it('are fewer on both sides where a run ends soon after, down to some', () => {
    expect(stepsAround(steps, steps.at(-15)!)).toEqual([steps.at(-29)! - 0.5, steps.at(-1)! + 0.5]);
    expect(stepsAround(steps, steps.at(-1)!)).toEqual([steps.at(-11)! - 0.5, steps.at(-1)! + 0.5]);
    expect(stepsAround(steps, steps[2]!)).toEqual([steps[0]! - 0.5, steps[12]! + 0.5]);
  });

  it('are none where nothing was recorded before', () => {
    expect(stepsAround(steps, 0)).toBeNull();
    expect(stepsAround(new Float64Array(0), 8)).toBeNull();
  });
});

describe('a curve within some steps', () => {
  it('keeps the records that reach into them, with all that belongs to them', () => {
    const banded = { ...curve(20), low: new Float32Array(20).fill(-1), high: new Float32Array(20).fill(30) };
    const cut = within(
      { ...banded, states: Uint8Array.from({ length: 20 }, (_, i) => i % 2) },
      [10.5, 15.5],
    )!;
    expect([...cut.steps]).toEqual([11, 13, 15, 17]);
    expect(Array.from(cut.values)).toEqual([5, 6, 7, 8]);
    expect([Array.from(cut.low!), Array.from(cut.high!)]).toEqual([
      [-1, -1, -1, -1],
      [30, 30, 30, 30],
    ]);
    expect([...cut.states!]).toEqual([1, 0, 1, 0]);
  });

  it('is nothing where it has no record there', () => {
    expect(within(curve(3), [100, 200])).toBeNull();
    expect(within(curve(0), [0, 200])).toBeNull();
  });
});
