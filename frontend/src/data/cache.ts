/** Answers that were read already, newest revision only, up to a number of bytes. */

interface Entry {
  readonly version: string;
  readonly value: unknown;
  readonly bytes: number;
}

export class Cache {
  private readonly entries = new Map<string, Entry>();
  private readonly limit: number;
  private bytes = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get(address: string, version: string): unknown {
    const entry = this.entries.get(address);
    if (entry === undefined || entry.version !== version) return undefined;
    this.entries.delete(address);
    this.entries.set(address, entry);
    return entry.value;
  }

  set(address: string, version: string, value: unknown): void {
    this.remove(address);
    const entry = { version, value, bytes: sizeOf(value) };
    this.entries.set(address, entry);
    this.bytes += entry.bytes;
    for (const oldest of this.entries.keys()) {
      if (this.bytes <= this.limit || oldest === address) break;
      this.remove(oldest);
    }
  }

  private remove(address: string): void {
    this.bytes -= this.entries.get(address)?.bytes ?? 0;
    this.entries.delete(address);
  }
}

/** Bytes of the arrays within a value; the little around them does not count. */
function sizeOf(value: unknown): number {
  if (ArrayBuffer.isView(value)) return value.byteLength;
  if (typeof value !== 'object' || value === null) return 0;
  return Object.values(value).reduce((sum: number, part) => sum + sizeOf(part), 0);
}
