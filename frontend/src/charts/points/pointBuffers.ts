/** What the graphics processor knows of each point. */
import { BufferAttribute, BufferGeometry } from 'three';
import { isSomewhere, pointCount } from './extent';
import { LAYERS, STATES } from './shaders';
import type { CloudData } from './types';

type Arrays = Pick<CloudData, 'from' | 'to' | 'dims' | 'colour' | 'shown' | 'selected'>;
const ARRAYS = ['from', 'to', 'colour', 'shown', 'selected'] as const;

export class PointBuffers {
  readonly geometry = new BufferGeometry();
  /** Those of LAYERS that have points. */
  layers: ReadonlySet<number> = new Set();
  /** Two records of positions, either of which is "from" or "to": playing on, only the new one is uploaded. */
  #records: readonly BufferAttribute[] = [];
  #held: Arrays | null = null;

  /** Upload what has changed; says whether anything has. A change of `mix` alone is none. */
  take(data: CloudData): boolean {
    const held = this.#held;
    if (held && held.dims === data.dims && ARRAYS.every((name) => held[name] === data[name])) return false;
    this.#held = data;
    const isSame =
      held?.dims === data.dims && ARRAYS.every((name) => held[name].length === data[name].length);
    if (!isSame) this.#restart(data);
    this.#takeRecords(data);
    replace(this.geometry.getAttribute('colour') as BufferAttribute, data.colour);
    const states = statesOf(data);
    this.layers = new Set(states.map(layerOf));
    replace(this.geometry.getAttribute('state') as BufferAttribute, states);
    return true;
  }

  #restart({ from, dims, colour, ...data }: CloudData): void {
    this.geometry.dispose();
    const count = pointCount({ from, dims, colour, ...data });
    this.#records = [0, 1].map(() => new BufferAttribute(new Float32Array(from.length), dims));
    this.geometry.setAttribute('colour', new BufferAttribute(colour, 4, true));
    this.geometry.setAttribute('state', new BufferAttribute(new Uint8Array(count), 1));
    this.geometry.setDrawRange(0, count);
  }

  #takeRecords({ from, to }: CloudData): void {
    const [a, b] = this.#records as [BufferAttribute, BufferAttribute];
    const other = (record: BufferAttribute) => (record === a ? b : a);
    const last = this.#records.find(({ array }) => array === to);
    const first = this.#records.find(({ array }) => array === from) ?? (last ? other(last) : a);
    replace(first, from);
    const next = from === to ? first : (last ?? other(first));
    replace(next, to);
    this.geometry.setAttribute('from', first);
    this.geometry.setAttribute('to', next);
  }
}

function replace(attribute: BufferAttribute, array: Float32Array | Uint8Array): void {
  if (attribute.array === array) return;
  attribute.array = array;
  attribute.needsUpdate = true;
}

/** Bits of STATES for each point. */
export function statesOf(data: CloudData): Uint8Array {
  const { from, to, dims, shown, selected } = data;
  return Uint8Array.from(
    { length: pointCount(data) },
    (_, index) =>
      (shown[index] ? STATES.shown : 0) |
      (selected[index] ? STATES.selected : 0) |
      (isSomewhere(from, index * dims, dims) ? STATES.inFrom : 0) |
      (isSomewhere(to, index * dims, dims) ? STATES.inTo : 0),
  );
}

/** As in the shader. */
function layerOf(state: number): number {
  if (state & STATES.selected) return LAYERS.selected;
  return state & STATES.shown ? LAYERS.shown : LAYERS.grey;
}
