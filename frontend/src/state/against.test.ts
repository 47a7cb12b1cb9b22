import { describe, expect, it } from 'vitest';
import { parseAgainst } from './against';

describe('what is compared with', () => {
  it.each([
    ['step:40', { kind: 'step', step: 40 }],
    ['embedding:', { kind: 'embedding', embedding: '' }],
    ['embedding:run:a', { kind: 'embedding', embedding: 'run:a' }],
    ['run:a\nb', { kind: 'run', run: 'a\nb' }],
    ['step:-1', null],
    ['run:', null],
    ['else', null],
    [null, null],
  ])('%j', (text, expected) => {
    expect(parseAgainst(text)).toEqual(expected);
  });
});
