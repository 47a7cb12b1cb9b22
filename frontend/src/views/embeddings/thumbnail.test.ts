import { describe, expect, it } from 'vitest';
import { onPaper } from './thumbnail';

describe('pixels with opacity', () => {
  it('lie on white paper', () => {
    const pixels = Uint8Array.from([10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 255, 51]);
    expect([...onPaper(pixels)]).toEqual([10, 20, 30, 255, 255, 255, 204, 224, 255]);
  });
});
