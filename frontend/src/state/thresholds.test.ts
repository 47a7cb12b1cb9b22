import { describe, expect, it } from 'vitest';
import { formatMoved, fromPlace, PLACES, parseMoved, toPlace, toValue, withThreshold } from './thresholds';

const share = {
  rule: 'dead_units',
  name: 'share',
  label: '',
  value: 0.25,
  default: 0.25,
  least: 0.01,
  most: 1,
};
const records = { ...share, name: 'records', value: 5, default: 5, least: 2, most: 1000 };
const signed = { ...share, name: 'level', value: 0, default: 0, least: -1, most: 1 };

describe('moved thresholds', () => {
  it('come back from the address as they went', () => {
    const moved = new Map([
      ['dead_units.share', 0.4],
      ['a.b', 1e-7],
      ['a.a', -3],
    ]);
    expect(formatMoved(moved)).toBe('a.a:-3,a.b:1e-7,dead_units.share:0.4');
    expect(parseMoved(formatMoved(moved))).toEqual(moved);
  });

  it.each(['', ',', 'a', 'a:', ':1', 'a:b', 'a:1:2', 'a:1e999', 'a:NaN', '<img>:1', 'a b:1'])(
    'leave out the senseless %j',
    (text) => expect(parseMoved(text)).toEqual(new Map()),
  );

  it('are none at the default', () => {
    const moved = withThreshold(new Map(), share, 0.5);
    expect(formatMoved(moved)).toBe('dead_units.share:0.5');
    expect(withThreshold(moved, share, 0.25)).toEqual(new Map());
  });
});

describe('a slider', () => {
  it.each([share, records, signed])('has its ends and its default at their places: $name', (info) => {
    expect(fromPlace(info, 0)).toBe(info.least);
    expect(fromPlace(info, PLACES)).toBe(info.most);
    expect(fromPlace(info, toPlace(info, info.default))).toBe(info.default);
  });

  it('never moves backwards', () => {
    for (const info of [share, records, signed]) {
      const values = Array.from({ length: PLACES + 1 }, (_, place) => fromPlace(info, place));
      expect(values).toEqual([...values].sort((a, b) => a - b));
    }
  });

  it('counts in factors where the range is wide', () => {
    expect(fromPlace(share, PLACES / 2)).toBe(0.1);
    expect(fromPlace(signed, PLACES / 4)).toBe(-0.5);
  });

  it('keeps what is typed inside, whole where it counts', () => {
    expect(toValue(records, 7.4)).toBe(7);
    expect(toValue(records, 1e9)).toBe(1000);
    expect(toValue(share, 0)).toBe(0.01);
    expect(toValue(share, 0.12345)).toBe(0.123);
  });
});
