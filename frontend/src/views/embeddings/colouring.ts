/** The colours of points and of the legend, in the page's theme. */
import { computed } from '@preact/signals';
import { COLORS } from '../../charts/codes';
import { css, parseColor, type Rgb } from '../../charts/color';
import { linearScale, type ValueScale } from '../../charts/scale';
import { pageTheme, type Theme } from '../../charts/theme';
import { scenes } from '../../state/embeddings';
import { type ColourBy, NO_GROUP, numberRange, RIGHT, WRONG } from '../../state/embeddings-groups';
import { colourBy, groups } from '../../state/embeddings-marks';
import { colour } from '../page';
import { runToken } from '../swatch';
import { groupColours } from './palette';

/** Colours that are known to be told apart: those of runs. */
const BASE = 8;

export interface Colouring {
  /** CSS colour of each group. */
  readonly groups: readonly string[];
  /** CSS colour of points in none. */
  readonly without: string;
  /** What colours stand for where points are coloured by a number; null else. */
  readonly scale: ValueScale | null;
  /** [points, 4] of each scene. */
  readonly points: readonly Uint8Array[];
}

export const colouring = computed<Colouring>(() => {
  const theme = pageTheme().value;
  const without = parseColor(theme.token[colourBy.value === 'none' ? 'run-1' : 'text-3']);
  const { names, codes } = groups.value;
  const colours = coloursOf(colourBy.value, names.length);
  const range = colourBy.value === 'number' ? numberRange(scenes.value) : null;
  const scale = range && { ...linearScale(range, 'fraction') };
  const points =
    scale === null
      ? codes.map((own) => byGroup(own, colours, without))
      : scenes.value.map(({ labels, points }) => byNumber(labels, points.count, scale, theme, without));
  return { groups: colours.map(css), without: css(without), scale, points };
});

function coloursOf(by: ColourBy, count: number): readonly Rgb[] {
  const token = (index: number) => parseColor(colour(runToken(index)));
  if (by === 'correctness') {
    const [right, wrong] = [token(0), token(4)];
    return Array.from({ length: count }, (_, index) => ({ [RIGHT]: right, [WRONG]: wrong })[index]!);
  }
  const isDark = document.documentElement.dataset.theme === 'dark';
  return groupColours(
    count,
    Array.from({ length: BASE }, (_, index) => token(index)),
    isDark,
  );
}

function byGroup(codes: Int32Array, colours: readonly Rgb[], without: Rgb): Uint8Array {
  return painted(codes.length, (index) => (codes[index] === NO_GROUP ? without : colours[codes[index]!]!));
}

function byNumber(
  labels: Float32Array | null,
  count: number,
  scale: ValueScale,
  theme: Theme,
  without: Rgb,
): Uint8Array {
  const palette = theme.palette(scale.kind);
  return painted(count, (index) => {
    const value = labels?.[index] ?? Number.NaN;
    return Number.isFinite(value) ? palette[Math.round(scale.position(value) * (COLORS - 1))]! : without;
  });
}

function painted(count: number, colourOf: (index: number) => Rgb): Uint8Array {
  const bytes = new Uint8Array(4 * count);
  for (let index = 0; index < count; index++) {
    const [red, green, blue] = colourOf(index);
    bytes[4 * index] = red;
    bytes[4 * index + 1] = green;
    bytes[4 * index + 2] = blue;
    bytes[4 * index + 3] = 255;
  }
  return bytes;
}
