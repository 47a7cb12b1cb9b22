import { describe, expect, it } from 'vitest';
import { formatAge } from '../state/live';
import { newestRun } from '../state/opening';
import { searchRuns } from './run-picker';
import { formatBytes, formatCost, nameOr, plural, sentence } from './words';

const run = (name: string, wall_time: number | null, error: string | null = null) => ({
  run: name,
  revision: '1',
  wall_time,
  last_step: 1,
  error,
});

describe('words', () => {
  it('count', () => {
    expect([0, 1, 1240].map((n) => plural(n, 'layer'))).toEqual(['0 layers', '1 layer', '1,240 layers']);
  });

  it('name what has no name', () => {
    expect([nameOr(' '), nameOr('a')]).toEqual(['(no name)', 'a']);
  });

  it('begin a sentence', () => {
    expect(['written', '', 'é'].map(sentence)).toEqual(['Written', '', 'É']);
  });

  it.each([
    [0, '0 s'],
    [99, '99 s'],
    [600, '10 min'],
    [3 * 3600, '3 h'],
    [5 * 86400, '5 days'],
  ])('say %i seconds as %s', (seconds, words) => {
    expect(formatAge(seconds)).toBe(words);
  });

  it.each([
    [0, 'less than 0.1 %'],
    [0.008, '0.8 %'],
    [0.123, '12 %'],
  ])('say the cost %f as %s', (fraction, words) => {
    expect(formatCost(fraction)).toBe(words);
  });

  it.each([
    [1023, '1,023 bytes'],
    [1024, '1 KiB'],
    [12_345_678, '11.8 MiB'],
    [2 ** 20 - 1, '1 MiB'],
    [5 * 2 ** 50, '5,120 TiB'],
  ])('count %d bytes as %s', (bytes, words) => {
    expect(formatBytes(bytes)).toBe(words);
  });
});

describe('runs', () => {
  it('open on the one written last among those that can be read', () => {
    expect(newestRun([run('a', 1), run('b', 3), run('c', 9, 'newer schema'), run('d', null)])).toBe('b');
    expect(newestRun([run('c', 9, 'newer schema')])).toBe('c');
    expect(newestRun([])).toBeNull();
  });

  it('are found by all words of the search, in any order', () => {
    const list = [run('digits/cnn', 1), run('digits/mlp', 1), run('CNN-old', 1)];
    expect(searchRuns(list, 'cnn dig').map((one) => one.run)).toEqual(['digits/cnn']);
    expect(searchRuns(list, ' CNN').map((one) => one.run)).toEqual(['digits/cnn', 'CNN-old']);
    expect(searchRuns(list, '')).toHaveLength(3);
  });
});
