/** CSS colours as the bytes of an image, and what lies between two of them. */

/** Red, green, blue, each 0 to 255. */
export type Rgb = readonly [number, number, number];

/** Parse `#rgb`, `#rrggbb` or `rgb(r g b)`; the tokens hold no others for cells. */
export function parseColor(css: string): Rgb {
  const hex = /^#([0-9a-f]{3}|[0-9a-f]{6})$/i.exec(css.trim())?.[1];
  if (hex) {
    const digits = hex.length === 3 ? hex.replace(/./g, '$&$&') : hex;
    const number = Number.parseInt(digits, 16);
    return [number >> 16, (number >> 8) & 255, number & 255];
  }
  const parts = /^rgba?\(([^)]*)\)/i.exec(css.trim())?.[1]?.match(/[\d.]+/g) ?? [];
  return [Number(parts[0] ?? 0), Number(parts[1] ?? 0), Number(parts[2] ?? 0)];
}

export function mix(from: Rgb, to: Rgb, share: number): Rgb {
  return [0, 1, 2].map(
    (channel) => from[channel]! + (to[channel]! - from[channel]!) * share,
  ) as unknown as Rgb;
}

export function css([red, green, blue]: Rgb): string {
  return `rgb(${Math.round(red)}, ${Math.round(green)}, ${Math.round(blue)})`;
}

/** An opaque pixel of ImageData, seen as a 32-bit number of a little-endian machine. */
export function pixel([red, green, blue]: Rgb): number {
  return (0xff000000 | (Math.round(blue) << 16) | (Math.round(green) << 8) | Math.round(red)) >>> 0;
}

/** The colour at `share`, 0 to 1, of evenly spaced `stops`. */
export function ramp(stops: readonly Rgb[], share: number): Rgb {
  const place = Math.min(1, Math.max(0, share)) * (stops.length - 1);
  const index = Math.min(stops.length - 2, Math.floor(place));
  return mix(stops[index]!, stops[index + 1]!, place - index);
}
