import { describe, expect, it } from 'vitest';
import { csvField, csvParts } from './csv';
import { fileName } from './exports';

describe('csvField', () => {
  it.each([
    ['conv', 'conv'],
    ['a,b', '"a,b"'],
    ['say "hi"', '"say ""hi"""'],
    ['two\nlines', '"two\nlines"'],
    ['=HYPERLINK("http://x")', `"'=HYPERLINK(""http://x"")"`],
    ['+1', "'+1"],
    ['-layer', "'-layer"],
    ['@sum', "'@sum"],
    ['\t=1', "'\t=1"],
    ['＝1', "'＝1"],
    [-1.5, '-1.5'],
    [Math.fround(0.1), '0.100000001'],
    [1e-12, '1e-12'],
    [null, ''],
  ])('%j becomes %j', (entry, field) => {
    expect(csvField(entry)).toBe(field);
  });
});

describe('csvParts', () => {
  it('writes every row once, in order', () => {
    const table = { columns: ['a', 'b'], rowCount: 9000, row: (index: number) => [index, 'x'] };
    const lines = csvParts(table).join('').split('\r\n');
    expect(lines).toHaveLength(9002);
    expect([lines[0], lines[1], lines[4097], lines[9000]]).toEqual(['a,b', '0,x', '4096,x', '8999,x']);
  });

  it('takes an empty table', () => {
    expect(csvParts({ columns: ['a'], rowCount: 0, row: () => [] }).join('')).toBe('a\r\n');
  });
});

describe('fileName', () => {
  it.each([
    ['Gradient norm', 'Gradient-norm.csv'],
    ['../../etc/passwd', 'etc-passwd.csv'],
    ['<img onerror>', 'img-onerror.csv'],
    ['', 'chart.csv'],
    ['…', 'chart.csv'],
    ['層', '層.csv'],
    ['x'.repeat(500), `${'x'.repeat(80)}.csv`],
  ])('of %j is %j', (name, file) => {
    expect(fileName(name, 'csv')).toBe(file);
  });
});
