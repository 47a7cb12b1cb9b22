import { describe, expect, it } from 'vitest';
import { formatHash, parseHash } from './url';

const HOSTILE = [
  '<img src=x onerror=alert(1)>',
  '../../x',
  'a&p.netviz.run=b',
  'a=b#c?d%20e%',
  'line\nbreak\ttab',
  '🧠'.repeat(50),
  'x'.repeat(500),
  '.',
  ' ',
  '+1',
  '__proto__',
];

describe('a link', () => {
  it.each(HOSTILE)('comes back as it went, with the name %j', (name) => {
    const link = { view: 'flow', run: name, layer: name, step: 812, filter: name };
    expect(parseHash(formatHash('', link))).toEqual(link);
  });

  it('comes back whole', () => {
    const link = {
      view: 'overview',
      run: 'digits/cnn',
      layer: 'blocks.3',
      step: 0,
      statistic: 'gradient_norm',
      rows: 'parameters',
      filter: '^b',
      activation: 'blocks.3.act#2',
      unit: 0,
      state: 'sparse',
      samples: 5000,
      windows: 3,
      section: 'maps',
      probe: 'digits',
      sample: 2,
      map: 'attention:blocks.0.attn',
      against: 'run:digits/mlp',
      embedding: 'penultimate/fc2',
      layout: 'tsne-2-live',
      colour: 'correctness',
      finding: 'dead_units:3',
      thresholds: 'dead_units.share:0.4,nonfinite.records:2',
      domain: [700, 900] as const,
    };
    expect(parseHash(formatHash('#scalars', link))).toEqual(link);
  });

  it('is what the documents promise', () => {
    expect(formatHash('', { view: 'overview', run: 'a/b', layer: 'fc', step: 3 })).toBe(
      '#netviz&p.netviz.view=overview&p.netviz.run=a%2Fb&p.netviz.layer=fc&p.netviz.step=3',
    );
  });

  it('keeps what is not ours and drops what was ours', () => {
    const before = '#netviz&runSelectionState=e30%3D&p.netviz.step=5&p.other.step=6';
    expect(formatHash(before, { run: 'r' })).toBe(
      '#netviz&p.netviz.run=r&runSelectionState=e30%3D&p.other.step=6',
    );
  });

  it.each([
    'p.netviz.step=-1',
    'p.netviz.step=1.5',
    'p.netviz.step=',
    'p.netviz.unit=-3',
    'p.netviz.samples=1e3',
    'p.netviz.windows=two',
    'p.netviz.domain=9-3',
    'p.netviz.domain=x',
    'x',
  ])('leaves out the senseless %s', (part) => {
    expect(parseHash(`#netviz&${part}`)).toEqual({});
  });

  it('reads a broken percent sign as it stands', () => {
    expect(parseHash('#netviz&p.netviz.run=100%')).toEqual({ run: '100%' });
  });

  it('writes a lone surrogate instead of failing', () => {
    expect(formatHash('', { run: '\ud800' })).toContain('p.netviz.run=%EF%BF%BD');
  });
});
