import { describe, expect, it } from 'vitest';
import { matchingSource, sourceKey, sourceOfLayer } from './maps-sources';

const source = (module: string, kind = 'feature_map') => ({ module, kind, maps: 1, height: 1, width: 1 });
const MAPS = [source('conv1'), source('conv1', 'grad_cam'), source('encoder.attn', 'attention'), source('')];

describe('sourceOfLayer', () => {
  it.each([
    ['conv1', 0],
    ['encoder.attn', 2],
    ['encoder.attn.out_proj', 2],
    ['encoder', 2],
    ['conv10', -1],
    ['', 3],
    [null, -1],
  ])('finds the maps of %j at %i', (layer, index) => {
    expect(sourceOfLayer(MAPS, '', layer)).toBe(index);
  });

  it('knows the model by which layers are named', () => {
    expect(sourceOfLayer(MAPS, 'teacher', 'teacher/conv1')).toBe(0);
    expect(sourceOfLayer(MAPS, 'teacher', 'student/conv1')).toBe(-1);
  });
});

describe('matchingSource', () => {
  it('wants the same kind of the same module', () => {
    expect(matchingSource(MAPS, source('conv1', 'grad_cam'))).toBe(1);
    expect(matchingSource(MAPS, source('conv1', 'saliency'))).toBe(-1);
    expect(sourceKey(MAPS[2]!)).toBe('attention:encoder.attn');
  });
});
