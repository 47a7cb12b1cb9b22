/** Painted maps, kept while nothing of what they show changes. */
import { pixel } from '../color';
import type { Theme } from '../theme';
import type { Domain } from '../types';
import { byteColours, paletteKind } from './domain';
import { paintMap } from './paintMap';
import type { MapPicture } from './types';

export interface Painted {
  readonly map: MapPicture;
  readonly domain: Domain;
  readonly signed: boolean;
  readonly theme: Theme;
  /** In pixels of the screen. */
  readonly width: number;
  readonly height: number;
}

/** Images beyond this are forgotten, the oldest first. */
const KEPT = 1024;

export class MapImages {
  readonly #held = new Map<string, { readonly of: Painted; readonly canvas: HTMLCanvasElement }>();

  /** The image of what stands at a place; its canvas is used again when that changes. */
  at(place: string, wanted: Painted): HTMLCanvasElement {
    const held = this.#held.get(place);
    if (held && isSame(held.of, wanted)) return held.canvas;
    const canvas = held?.canvas ?? document.createElement('canvas');
    paintOnto(canvas, wanted);
    this.#held.delete(place);
    this.#held.set(place, { of: wanted, canvas });
    for (const oldest of this.#held.keys()) {
      if (this.#held.size <= KEPT) break;
      this.#held.delete(oldest);
    }
    return canvas;
  }
}

/** Paint a map all over a canvas. */
export function paintOnto(canvas: HTMLCanvasElement, { map, domain, signed, theme, ...size }: Painted): void {
  const palette = theme.palette(paletteKind(signed));
  const colours = Uint32Array.from(byteColours(map.low, map.high, domain), (index) => pixel(palette[index]!));
  const pixels = paintMap(map, colours, size.width, size.height);
  if (canvas.width !== size.width) canvas.width = size.width;
  if (canvas.height !== size.height) canvas.height = size.height;
  const bytes = new Uint8ClampedArray(pixels.buffer as ArrayBuffer);
  canvas.getContext('2d')?.putImageData(new ImageData(bytes, size.width, size.height), 0, 0);
}

function isSame(a: Painted, b: Painted): boolean {
  return (
    a.map.pixels.buffer === b.map.pixels.buffer &&
    a.map.pixels.byteOffset === b.map.pixels.byteOffset &&
    a.domain[0] === b.domain[0] &&
    a.domain[1] === b.domain[1] &&
    a.signed === b.signed &&
    a.theme === b.theme &&
    a.width === b.width &&
    a.height === b.height
  );
}
