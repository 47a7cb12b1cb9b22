/** The colours of the page, read from its CSS custom properties once per change of theme. */

import { type ReadonlySignal, signal } from '@preact/signals';
import { COLORS } from './codes';
import { css, parseColor, pixel, type Rgb, ramp } from './color';
import type { ScaleKind, Severity } from './types';

const TOKENS = [
  'bg',
  'bg-subtle',
  'bg-sunken',
  'border',
  'border-strong',
  'grid',
  'text',
  'text-2',
  'text-3',
  'critical',
  'warning',
  'note',
  'cell-zero',
  'cell-zero-mark',
  'cell-nan',
  'cell-nan-mark',
  'cell-missing',
  'cell-missing-mark',
  'cursor',
  'cursor-halo',
  'band',
  'run-1',
  'font',
] as const;

export type Token = (typeof TOKENS)[number];

export interface Theme {
  readonly token: Readonly<Record<Token, string>>;
  severity(severity: Severity): string;
  /** Colours of a scale, COLORS of them from its low to its high end. */
  palette(kind: ScaleKind): readonly Rgb[];
  /** The same as pixels. */
  pixels(kind: ScaleKind): Uint32Array;
}

/** Stops of the two palettes among the tokens; viridis is close to linear between its nine. */
const STOPS = { viridis: 9, diverging: 7 } as const;

export function makeTheme(property: (name: string) => string): Theme {
  const token = Object.fromEntries(TOKENS.map((name) => [name, property(name)])) as Record<Token, string>;
  const stops = (name: keyof typeof STOPS) =>
    Array.from({ length: STOPS[name] }, (_, stop) => parseColor(property(`${name}-${stop}`)));
  const stopsOf = (kind: ScaleKind) => {
    if (kind === 'share') return ['cell-zero', 'run-1'].map((name) => parseColor(property(name)));
    if (kind === 'dead') return ['cell-zero', 'critical'].map((name) => parseColor(property(name)));
    return stops(kind === 'signed' || kind === 'linear' ? 'diverging' : 'viridis');
  };
  const palettes = new Map<string, readonly Rgb[]>();
  const palette = (kind: ScaleKind) => {
    const known = palettes.get(kind);
    if (known) return known;
    const own = stopsOf(kind);
    const colors = Array.from({ length: COLORS }, (_, index) => ramp(own, index / (COLORS - 1)));
    palettes.set(kind, colors);
    return colors;
  };
  return {
    token,
    severity: (severity) => token[severity],
    palette,
    pixels: (kind) => Uint32Array.from(palette(kind), pixel),
  };
}

/** CSS colour at a place of a scale. */
export function colorAt(theme: Theme, kind: ScaleKind, position: number): string {
  return css(theme.palette(kind)[Math.round(position * (COLORS - 1))]!);
}

let shared: ReadonlySignal<Theme> | undefined;

/** The page's theme; follows `data-theme` and the class of the root element. */
export function pageTheme(): ReadonlySignal<Theme> {
  if (!shared) {
    const root = document.documentElement;
    const read = () => {
      const style = getComputedStyle(root);
      return makeTheme((name) => style.getPropertyValue(`--${name}`).trim());
    };
    const theme = signal(read());
    const follow = () => {
      theme.value = read();
    };
    new MutationObserver(follow).observe(root, { attributeFilter: ['data-theme', 'class', 'style'] });
    shared = theme;
  }
  return shared;
}
