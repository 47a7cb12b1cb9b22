import { describe, expect, it } from 'vitest';
import { mapsOnPage, type Side, wantedPages } from './maps-wanted';

const side = (step: number, maps = 600, width = 224): Side => ({
  run: 'r',
  probe: 'p',
  map: 3,
  source: { module: 'conv', kind: 'feature_map', maps, height: 224, width },
  sample: 1,
  step,
});

const asked = (wish: Parameters<typeof wantedPages>[0]) =>
  wantedPages(wish).map(({ step, first, count }) => [step, first, count]);

describe('a page', () => {
  it.each([
    [{ height: 32, width: 32 }, 256],
    [{ height: 224, width: 224 }, 8],
    [{ height: 4000, width: 4000 }, 1],
    [{ height: 0, width: 0 }, 256],
  ])('of maps of %j holds %i', (size, count) => {
    expect(mapsOnPage(size)).toBe(count);
  });
});

describe('wantedPages', () => {
  it('asks for what is in sight first, then for what lies over the input, then ahead', () => {
    const overlay = { side: { ...side(4, 1), map: 9 }, index: 0 };
    const wish = { sides: [side(4)], visible: [17, 2, 3], overlay, ahead: [side(5)] };
    expect(asked(wish)).toEqual([
      [4, 16, 8],
      [4, 0, 8],
      [4, 0, 1],
      [5, 16, 8],
      [5, 0, 8],
    ]);
  });

  it('asks for the whole of a small module', () => {
    expect(asked({ sides: [side(4, 20)], visible: [9], overlay: null, ahead: [] })).toEqual([
      [4, 8, 8],
      [4, 0, 8],
      [4, 8, 8],
      [4, 16, 4],
    ]);
  });

  it('asks for both sides, and of a side only for maps that it has', () => {
    const wish = { sides: [side(4), side(2, 10, 500)], visible: [17], overlay: null, ahead: [] };
    expect(asked(wish).map(([step]) => step)).not.toContain(undefined);
    expect(asked(wish)[0]).toEqual([4, 16, 8]);
    expect(asked(wish).every(([step, first]) => step === 4 || first! < 10)).toBe(true);
  });

  it('asks for strengths even where nothing is in sight', () => {
    expect(asked({ sides: [side(4)], visible: [], overlay: null, ahead: [] })).toEqual([[4, 0, 8]]);
  });
});
