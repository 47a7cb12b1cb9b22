import { describe, expect, it } from 'vitest';
import * as selection from './selection';
import { formatHash, parseHash } from './url';

const whole = {
  view: 'flow',
  run: 'a & b=<c>',
  layer: '../../x',
  activation: 'blocks.3.act#2',
  unit: 0,
  step: 812,
  statistic: 'update_ratio',
  rows: 'parameters',
  state: 'sparse',
  samples: 5000,
  windows: 3,
  section: 'maps',
  embedding: '../fc',
  layout: 'pca-3-live',
  colour: 'class',
  filter: '^conv(1|2)$',
  finding: 'dead_units:3',
  thresholds: 'dead_units.share:0.4',
  domain: [700, 900] as const,
};

describe('the selection', () => {
  it('goes through the address and back', () => {
    selection.fromLink(parseHash(formatHash('', whole)));
    expect(selection.toLink()).toEqual(whole);
    expect(selection.zoom.value).toEqual([700, 900]);
  });

  it('keeps defaults out of the address', () => {
    selection.fromLink({ run: 'r' });
    expect(selection.toLink()).toEqual({ view: 'overview', run: 'r' });
  });

  it('keeps the run when a link does not name one', () => {
    selection.fromLink({ run: 'r' });
    selection.fromLink({ view: 'flow' });
    expect(selection.run.value).toBe('r');
  });

  it('takes whole steps around a zoom between steps', () => {
    selection.fromLink({ run: 'r' });
    selection.zoom.value = [3.2, 9.7];
    expect(selection.toLink().domain).toEqual([3, 10]);
  });

  it('does not take a made up kind of rows', () => {
    selection.fromLink({ run: 'r', rows: 'network' });
    expect(selection.rows.value).toBe('layers');
  });
});
