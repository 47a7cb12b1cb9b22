import { describe, expect, it } from 'vitest';
import { hasGap, placeColumns } from '../../charts/columns';
import { STATE } from '../../charts/types';
import { chartsOf, curveOf, levelsOf, scaleOf } from './evidence-curve';

const line = (values: (number | null)[], threshold: number | null = null) => ({
  label: '',
  statistic: '',
  steps: values.map((_, index) => index ** 2),
  values,
  threshold,
});

describe('evidence', () => {
  it('has no gap where points were thinned out, and marks what was not recorded', () => {
    const curve = curveOf(line([1, null, 3, 4]));
    expect(hasGap(placeColumns(curve.steps, curve.spans))).toBe(false);
    expect([...curve.states!]).toEqual([STATE.number, STATE.notRecorded, STATE.number, STATE.number]);
  });

  it.each([
    ['magnitudes by their decades', [1e-9, 1e-3], null, 'log'],
    ['a threshold far from the values too', [1, 2], 1e-6, 'log'],
    ['zeros among magnitudes', [0, 1e-5, 1], null, 'log'],
    ['shares from 0 to 1', [0, 0.5, 1], 0.25, 'fraction'],
    ['counts', [0, 8], 0.5, 'linear'],
    ['small differences', [0.01, 0.02], 0.03, 'linear'],
    ['signed values', [-1e-6, 1], null, 'linear'],
    ['nothing', [null], null, 'linear'],
  ] as const)('shows %s', (_, values, threshold, kind) => {
    expect(scaleOf([line([...values], threshold)])).toBe(kind);
  });

  it('names its threshold', () => {
    expect(levelsOf(line([1], 1e-3), 'linear').map(({ value, label }) => [value, label])).toEqual([
      [1e-3, 'threshold 0.001'],
    ]);
    expect(levelsOf(line([1]), 'linear')).toEqual([]);
    expect(levelsOf(line([1], 0), 'log')).toEqual([]);
  });

  const labelled = (label: string, statistic: string, threshold: number | null = null) => ({
    ...line([1], threshold),
    label,
    statistic,
  });
  const named = (...lines: ReturnType<typeof labelled>[]) =>
    chartsOf(lines, (id) => `The ${id}`).map(({ title, curves }) => [
      title,
      ...curves.map(({ name }) => name),
    ]);

  it('of several layers shares a chart, whose title is what the labels share', () => {
    expect(
      named(
        labelled('fc1 · ReLU: share of units', 'units', 0.5),
        labelled('a: b: share of units', 'units', 0.5),
      ),
    ).toEqual([['share of units', 'fc1 · ReLU', 'a: b']]);
    expect(named(labelled('fc1', 'norm'), labelled('head', 'norm'))).toEqual([['The norm', 'fc1', 'head']]);
  });

  it('of another statistic or threshold has a chart of its own', () => {
    expect(named(labelled('fall', 'norm', 1000), labelled('fc1', 'norm'), labelled('loss', 'loss'))).toEqual([
      ['fall', ''],
      ['fc1', ''],
      ['loss', ''],
    ]);
  });
});
