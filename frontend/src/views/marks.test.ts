import { describe, expect, it } from 'vitest';
import type { Grade } from '../data/findings';
import { rowFlags, stepMarks } from './marks';

const finding = (severity: Grade, layers: number[], first_step: number | null) => ({
  title: `A ${severity} one`,
  severity,
  layers,
  first_step,
});

const findings = [finding('critical', [3, 4], 10), finding('info', [7], 20), finding('warning', [], 0)];

describe('rowFlags', () => {
  it('flag the first layer of each finding in the colour of its severity', () => {
    expect(rowFlags(findings, null)).toEqual([
      { row: 3, severity: 'critical', remark: 'A critical one' },
      { row: 7, severity: 'note', remark: 'A info one' },
    ]);
  });

  it('put the selected finding first, so that it wins where two share a row', () => {
    expect(rowFlags(findings, findings[1]!).map(({ row }) => row)).toEqual([7, 3]);
  });
});

describe('stepMarks', () => {
  it('show where findings about the layer begin, unless the cursor stands there', () => {
    expect(stepMarks(findings, 4, 0).map(({ step }) => step)).toEqual([10]);
    expect(stepMarks(findings, 4, 10)).toEqual([]);
    expect(stepMarks(findings, 9, 0)).toEqual([]);
    expect(stepMarks(findings, null, 0)).toEqual([]);
    expect(stepMarks([finding('critical', [3], null)], 3, 0)).toEqual([]);
  });
});
