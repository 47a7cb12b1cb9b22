/** Names of groups in the midst of their points. */

import { computed } from '@preact/signals';
import { fitText, textWidth, write } from '../../charts/paint';
import { type Box, projection } from '../../charts/points/camera';
import { locator } from '../../charts/points/screen';
import type { CameraState, CloudData, Dims, Extent } from '../../charts/points/types';
import type { Theme } from '../../charts/theme';
import type { Painter } from '../../charts/types';
import { NO_GROUP } from '../../state/embeddings-groups';
import { colourBy, groups } from '../../state/embeddings-marks';

/** More names hide the points that they name. */
const MOST_NAMES = 24;
/** Points whose middle is taken, of each group. */
const SAMPLE = 2000;
const STYLE = { size: 12, weight: 500, align: 'center' } as const;
const LINE = 15;
const WIDEST = 140;

/** Whether the groups can be named where they are: right and wrong points are everywhere. */
export const areNamesWritten = computed(() => {
  const { length } = groups.value.names;
  const isPlace = colourBy.value === 'class' || colourBy.value === 'prediction';
  return isPlace && length > 1 && length <= MOST_NAMES;
});

/** [groups, dims] The median position of the points of each group that stay in colour; NaN where there are none. */
export function middles(
  positions: Float32Array,
  dims: number,
  codes: Int32Array,
  shown: Uint8Array,
  count: number,
): Float32Array {
  const members: number[][] = Array.from({ length: count }, () => []);
  for (let point = 0; point < codes.length; point++) {
    const code = codes[point]!;
    if (code === NO_GROUP || !shown[point] || Number.isNaN(positions[point * dims]!)) continue;
    members[code]!.push(point);
  }
  return Float32Array.from({ length: count * dims }, (_, place) => {
    const group = members[Math.floor(place / dims)]!;
    const every = Math.ceil(group.length / SAMPLE) || 1;
    const values = group
      .filter((_, index) => index % every === 0)
      .map((point) => positions[point * dims + (place % dims)]!);
    return median(values);
  });
}

function median(values: number[]): number {
  return values.length === 0 ? Number.NaN : Float64Array.from(values).sort()[values.length >> 1]!;
}

export interface NamesScene {
  readonly theme: Theme;
  readonly names: readonly string[];
  readonly from: Float32Array;
  readonly to: Float32Array;
  readonly mix: number;
  readonly dims: Dims;
  readonly extent: Extent;
  readonly view: CameraState;
}

/** Write the names where they don't lie over each other; the first ones win. */
export function drawNames(painter: Painter, scene: NamesScene, box: Box): void {
  const { theme, names, from, to, mix, dims, extent, view } = scene;
  const locate = locator({ from, to, mix, dims } as CloudData, extent, projection(view, dims, box), box);
  const taken: { x: number; y: number; half: number }[] = [];
  for (const [group, name] of names.entries()) {
    const place = locate(group);
    if (place === null) continue;
    const [x, y] = place;
    if (x < 0 || x > box.width || y < 0 || y > box.height) continue;
    const text = fitText(painter, theme, name, WIDEST, STYLE);
    const half = textWidth(painter, theme, text, STYLE) / 2;
    if (taken.some((one) => Math.abs(one.y - y) < LINE && Math.abs(one.x - x) < one.half + half + 4))
      continue;
    taken.push({ x, y, half });
    write(painter, theme, text, x, y, { ...STYLE, color: theme.token.text, halo: theme.token.bg });
  }
}
