/** A map in words and numbers, for the live region, the panel beside it and the table. */
import { formatCount, formatValue } from '../numbers';
import type { Entry, Table } from '../types';
import { type MapPane, type MapPicture, stateOf } from './types';

/** "−1.2 to 3.4", "constant 0", "−1.2 to 3.4, 5 not finite" */
export function rangeWords(map: MapPicture): string {
  const state = stateOf(map);
  if (state === 'nonfinite') return 'NaN or infinite';
  const range =
    state === 'constant'
      ? `constant ${formatValue(map.low, 3)}`
      : `${formatValue(map.low, 3)} to ${formatValue(map.high, 3)}`;
  return isPartly(map) ? `${range}, ${badgeWords(map)}` : range;
}

/** Whether some values of a map are finite, and some are not. */
export const isPartly = (map: MapPicture): boolean => map.nonfinite > 0 && stateOf(map) !== 'nonfinite';

/** "5 not finite" */
export const badgeWords = ({ nonfinite }: MapPicture): string => `${formatCount(nonfinite)} not finite`;

/** "map 12 · −1.2 to 3.4 · strength 0.8", and after it the same of the other pane. */
export function mapWords(panes: readonly MapPane[], name: string, index: number): string {
  const parts = panes.map((pane) => {
    const words = index < pane.count ? oneWords(pane, index) : 'there is no such map';
    return panes.length > 1 ? `${pane.title}: ${words}` : words;
  });
  return [`${name} ${formatCount(index)}`, ...parts].join(' · ');
}

function oneWords(pane: MapPane, index: number): string {
  const map = pane.map(index);
  const strength = pane.strength?.[index];
  const range = map === null ? pane.trouble || 'not loaded yet' : rangeWords(map);
  return strength === undefined ? range : `${range} · strength ${formatValue(strength, 3)}`;
}

/** The value at a pixel of a map. */
export function valueAt({ pixels, width, low, high }: MapPicture, x: number, y: number): number {
  return low + (pixels[y * width + x]! / 255) * (high - low);
}

/** "0.82"; what is drawn as the lowest value may be one that is not finite. */
export function valueWords(map: MapPicture, x: number, y: number): string {
  const value = formatValue(valueAt(map, x, y), 3);
  return isPartly(map) && map.pixels[y * map.width + x] === 0 ? `${value}, or not finite` : value;
}

/** One line a map: its range, its strength and how many values are not finite, in each pane. */
export function mapsTable(panes: readonly MapPane[], order: readonly number[]): Table {
  const several = panes.length > 1;
  const heads = panes.flatMap(({ title }) => HEADS.map((name) => (several ? `${name}, ${title}` : name)));
  return {
    columns: ['map', ...heads],
    rowCount: order.length,
    row: (line) => [order[line]!, ...panes.flatMap((pane) => entries(pane, order[line]!))],
  };
}

const HEADS = ['min', 'max', 'strength', 'not finite'] as const;

function entries(pane: MapPane, index: number): readonly Entry[] {
  if (index >= pane.count) return HEADS.map(() => null);
  const map = pane.map(index);
  const strength = pane.strength?.[index];
  return [
    map && finite(map.low),
    map && finite(map.high),
    strength === undefined ? null : finite(strength),
    map === null || Number.isNaN(map.nonfinite) ? null : map.nonfinite,
  ];
}

const finite = (value: number): Entry => (Number.isFinite(value) ? value : 'non-finite');
