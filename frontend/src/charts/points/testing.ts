/** Clouds for tests. */
import type { CloudData } from './types';

/** Points that are all shown and none selected; `change` says what is otherwise. */
export function cloud(positions: readonly number[], change: Partial<CloudData> = {}): CloudData {
  const dims = change.dims ?? 2;
  const count = positions.length / dims;
  const from = Float32Array.from(positions);
  return {
    from,
    to: from,
    dims,
    mix: 0,
    colour: new Uint8Array(count * 4).fill(255),
    shown: new Uint8Array(count).fill(1),
    selected: new Uint8Array(count),
    size: 4,
    ...change,
  };
}
