/** An encoder of frames, for tests. */
type Encodable = Float64Array | Float32Array | Uint32Array | Uint8Array;

/** The bytes of a frame, written as the server writes them; `extra` adds to or replaces the header's fields. */
export function encodeFrame(
  arrays: Readonly<Record<string, readonly [Encodable, readonly number[]]>>,
  extra: Readonly<Record<string, unknown>> = {},
): ArrayBuffer {
  const align = (n: number) => Math.ceil(n / 8) * 8;
  let offset = 0;
  const listed = Object.entries(arrays).map(([name, [data, shape]]) => {
    const entry = { name, dtype: data.constructor.name.replace('Array', '').toLowerCase(), shape, offset };
    offset += align(data.byteLength);
    return entry;
  });
  const json = new TextEncoder().encode(JSON.stringify({ arrays: listed, ...extra }));
  const payload = align(4 + json.length);
  const buffer = new ArrayBuffer(payload + offset);
  const bytes = new Uint8Array(buffer).fill(0x20, 4, payload);
  new DataView(buffer).setUint32(0, payload - 4, true);
  bytes.set(json, 4);
  listed.forEach((entry, i) => {
    const [data] = Object.values(arrays)[i]!;
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), payload + entry.offset);
  });
  return buffer;
}
