/** Frames: how bulk numbers travel (docs/http-api.md). Arrays are views into the answer, never copies. */
import { DataError } from './errors';

const CONSTRUCTORS = {
  float64: Float64Array,
  float32: Float32Array,
  uint32: Uint32Array,
  uint8: Uint8Array,
} as const;

export type Dtype = keyof typeof CONSTRUCTORS;
export type ArrayOf<D extends Dtype> = InstanceType<(typeof CONSTRUCTORS)[D]>;

/** An array of a frame; `data` is row-major. */
export interface FrameArray {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: ArrayOf<Dtype>;
}

export interface Frame {
  /** The header as it came, for the fields that belong to one route only. */
  readonly header: Readonly<Record<string, unknown>>;
  readonly arrays: ReadonlyMap<string, FrameArray>;
}

/**
 * Decode a frame.
 *
 * @throws DataError of kind `malformed` where the bytes are not a whole frame.
 */
export function decodeFrame(buffer: ArrayBuffer): Frame {
  if (buffer.byteLength < 4) throw malformed('it ends before its header');
  const length = new DataView(buffer).getUint32(0, true);
  const payload = 4 + length;
  if (payload > buffer.byteLength) throw malformed('it ends within its header');
  if (payload % 8 !== 0) throw malformed('its payload is not aligned');
  const header = parseHeader(new Uint8Array(buffer, 4, length));
  const listed = header.arrays;
  if (!Array.isArray(listed)) throw malformed('its header lists no arrays');
  return { header, arrays: new Map(listed.map((entry: unknown) => decodeArray(entry, buffer, payload))) };
}

/** The array `name` of a frame, checked for its type and shape; `null` in `shape` stands for any length. */
export function arrayOf<D extends Dtype>(
  frame: Frame,
  name: string,
  dtype: D,
  shape: readonly (number | null)[],
): ArrayOf<D> {
  const array = frame.arrays.get(name);
  if (array === undefined) throw malformed(`the array ${name} is missing`);
  if (array.dtype !== dtype) throw malformed(`the array ${name} holds ${array.dtype}, not ${dtype}`);
  const fits =
    array.shape.length === shape.length && shape.every((n, i) => n === null || n === array.shape[i]);
  if (!fits)
    throw malformed(`the array ${name} has the shape [${array.shape}], not [${shape.map((n) => n ?? '·')}]`);
  return array.data as ArrayOf<D>;
}

function decodeArray(entry: unknown, buffer: ArrayBuffer, payload: number): [string, FrameArray] {
  const { name, dtype, shape, offset } = (entry ?? {}) as Record<string, unknown>;
  if (typeof name !== 'string') throw malformed('an array has no name');
  if (!isDtype(dtype)) throw malformed(`the array ${name} has the unknown type ${String(dtype)}`);
  if (!Array.isArray(shape) || !shape.every(isCount)) throw malformed(`the array ${name} has no valid shape`);
  if (!isCount(offset)) throw malformed(`the array ${name} has no valid offset`);
  const size = shape.reduce((product: number, n: number) => product * n, 1);
  const start = payload + offset;
  const width = CONSTRUCTORS[dtype].BYTES_PER_ELEMENT;
  if (start % width !== 0) throw malformed(`the array ${name} is not aligned`);
  if (start + size * width > buffer.byteLength) throw malformed(`it ends within the array ${name}`);
  return [name, { dtype, shape, data: new CONSTRUCTORS[dtype](buffer, start, size) }];
}

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw malformed('its header is not JSON');
  }
  if (typeof header !== 'object' || header === null) throw malformed('its header is not an object');
  return header as Record<string, unknown>;
}

function isDtype(value: unknown): value is Dtype {
  return typeof value === 'string' && Object.hasOwn(CONSTRUCTORS, value);
}

function isCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0;
}

function malformed(what: string): DataError {
  return new DataError('malformed', `The server's answer could not be read: ${what}.`);
}
