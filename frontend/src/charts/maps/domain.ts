/** From the range of a map to the colours of its bytes. */
import { COLORS } from '../codes';
import { linearScale, type ValueScale } from '../scale';
import type { Domain } from '../types';

/** The kind of scale whose palette fits: the diverging one, or viridis. */
export const paletteKind = (signed: boolean) => (signed ? 'signed' : 'fraction');

/** What is finite of some ranges, [n, 2] of lowest and highest value; null where nothing is. */
export function unionOf(...ranges: readonly ArrayLike<number>[]): Domain | null {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const range of ranges)
    for (let at = 0; at + 1 < range.length; at += 2) {
      const [from, to] = [range[at]!, range[at + 1]!];
      if (!Number.isFinite(from) || !Number.isFinite(to)) continue;
      if (from < low) low = from;
      if (to > high) high = to;
    }
  return low <= high ? [low, high] : null;
}

export const isSigned = (domain: Domain | null): boolean => domain !== null && domain[0] < 0 && domain[1] > 0;

/** The domain of the colours over a range of values: about zero where values are signed. */
export function colourDomain(range: Domain, signed: boolean): Domain {
  if (!signed) return range;
  const farthest = Math.max(Math.abs(range[0]), Math.abs(range[1]));
  return [-farthest, farthest];
}

/** For each byte of a map the index of its colour in the palette, [256]. */
export function byteColours(low: number, high: number, domain: Domain): Uint16Array {
  const width = domain[1] - domain[0];
  const colours = new Uint16Array(256);
  for (let byte = 0; byte < 256; byte++) {
    const value = low + (byte / 255) * (high - low);
    const share = width > 0 ? Math.min(1, Math.max(0, (value - domain[0]) / width)) : 0.5;
    colours[byte] = Math.round(share * (COLORS - 1));
  }
  return colours;
}

/** The scale as its legend shows it, with ends that can be read. */
export function legendScale(domain: Domain, signed: boolean): ValueScale {
  const farthest = Math.max(Math.abs(domain[0]), Math.abs(domain[1]));
  // Beside the other end, what is a thousand times smaller is nothing.
  const short = (value: number) => (Math.abs(value) < farthest / 1000 ? 0 : Number(value.toPrecision(3)));
  return linearScale([short(domain[0]), short(domain[1])], paletteKind(signed));
}
