/** The colours of the page, read from its CSS custom properties once per change of theme. */

import { type ReadonlySignal, signal } from '@preact/signals';
import { interpolateViridis } from 'd3-scale-chromatic';
import { COLORS } from './codes';
import { css, parseColor, pixel, type Rgb, ramp } from './color';
import type { ScaleKind, Severity } from './types';

const TOKENS = [
  'bg',
  'bg-subtle',
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

const DIVERGING_STOPS = 7;

export function makeTheme(property: (name: string) => string): Theme {
  const token = Object.fromEntries(TOKENS.map((name) => [name, property(name)])) as Record<Token, string>;
  const diverging = Array.from({ length: DIVERGING_STOPS }, (_, stop) =>
    parseColor(property(`diverging-${stop}`)),
  );
  const palettes = new Map<boolean, readonly Rgb[]>();
  const palette = (kind: ScaleKind) => {
    const signed = kind === 'signed';
    const known = palettes.get(signed);
    if (known) return known;
    const colors = Array.from({ length: COLORS }, (_, index) => {
      const share = index / (COLORS - 1);
      return signed ? ramp(diverging, share) : parseColor(interpolateViridis(share));
    });
    palettes.set(signed, colors);
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
