import { describe, expect, it } from 'vitest';
import { blockNames } from './harness/data';
import { autoFold, groupScopes, leafOf, scopeOf } from './scopes';

describe('scopeOf', () => {
  it.each([
    ['transformer.h.0.attn.c_proj', 'transformer.h.0', 'attn.c_proj'],
    ['layer1.0.downsample.0', 'layer1.0', 'downsample.0'],
    ['stem.conv', 'stem', 'conv'],
    ['features.12', 'features', '12'],
    ['layer1.0.conv1', 'layer1.0', 'conv1'],
    ['encoder.layers.11.self_attn.out_proj', 'encoder.layers.11', 'self_attn.out_proj'],
    ['h.0.attn.c_attn', 'h.0', 'attn.c_attn'],
    ['features.denseblock1.denselayer12.norm1', 'features.denseblock1', 'denselayer12.norm1'],
    ['encoder.layers.encoder_layer_3.mlp.0', 'encoder.layers.encoder_layer_3', 'mlp.0'],
    ['Mixed_5b.branch1x1.conv', 'Mixed_5b', 'branch1x1.conv'],
    ['features.18.0', 'features.18', '0'],
    ['module.net.4', 'module.net', '4'],
    ['fc1', '', 'fc1'],
    ['encoder.self_attn.q', 'encoder', 'self_attn.q'],
    ['fc', '', 'fc'],
    ['4', '', '4'],
    ['0.weight', '0', 'weight'],
    ['', '', ''],
    ['..', '', '.'],
    ['<img src=x>.conv', '<img src=x>', 'conv'],
  ])('of %j is %j', (name, scope, leaf) => {
    expect(scopeOf(name)).toBe(scope);
    if (name !== '..') expect(leafOf(name, scope)).toBe(leaf);
  });
});

describe('groupScopes', () => {
  it('joins neighbours only', () => {
    const layers = ['m.a', 'm.b', 'm.h.0.c', 'm.d', 'fc1', 'fc2'].map((name) => ({ name }));
    const scopes = groupScopes(layers, [0, 1, 2, 3, 4, 5]);
    expect(scopes.map(({ name, members }) => [name, ...members])).toEqual([
      ['m', 0, 1],
      ['m.h.0', 2],
      ['m', 3],
      ['', 4, 5],
    ]);
  });
});

describe('autoFold', () => {
  const layers = blockNames(60, 10);
  const rows = layers.map((_, row) => row);

  it('leaves few layers open', () => {
    expect(autoFold(layers.slice(0, 40), rows.slice(0, 40), 600, [])).toEqual(new Set());
  });

  it('folds many, except where something was flagged', () => {
    const folded = autoFold(layers, rows, 600, [25]);
    expect(folded.size).toBe(60);
    expect(folded.has('blocks.2')).toBe(false);
    expect(folded.has('stem')).toBe(false);
  });

  it('never folds everything into one row', () => {
    const flat = Array.from({ length: 500 }, (_, row) => ({ name: `net.${row}` }));
    expect(
      autoFold(
        flat,
        flat.map((_, row) => row),
        300,
        [],
      ),
    ).toEqual(new Set());
  });
});
