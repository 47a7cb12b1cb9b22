/** What the charts draw of a side: its maps as far as they are there. */
import { computed } from '@preact/signals';
import type { MapPane, MapPicture } from '../../charts/maps/types';
import { formatCount } from '../../charts/numbers';
import type { MapPage } from '../../data/maps';
import { drawnSides, inView, mapsAgainst, pages, seen } from '../../state/maps';
import { pageQueries, pageQuery, type Side } from '../../state/maps-wanted';

/** One pane, or two that are compared. */
export const panes = computed<readonly MapPane[]>(() => {
  void pages.arrivals.value;
  const runs = mapsAgainst.value?.kind === 'run';
  return drawnSides.value.map((side) => paneOf(side, titleOf(side, runs && drawnSides.value.length > 1)));
});

function titleOf({ run, step }: Side, named: boolean): string {
  const words = `step ${formatCount(step)}`;
  return named ? `${run}, ${words}` : words;
}

function paneOf(side: Side, title: string): MapPane {
  const known = new Map<number, MapPicture | null>();
  return {
    title,
    count: side.source.maps,
    height: side.source.height,
    width: side.source.width,
    map(index) {
      if (!known.has(index)) known.set(index, pictureOf(pages.get(pageQuery(side, index)), index));
      return known.get(index)!;
    },
    strength: seen.of(side).get(side.step)?.strength ?? null,
    trouble: troubleOf(side),
  };
}

/** One map of a page, as a view into it. */
export function pictureOf(page: MapPage | undefined, index: number): MapPicture | null {
  if (page === undefined || index < page.first || index >= page.first + page.count) return null;
  const { height, width } = page;
  const at = index - page.first;
  return {
    height,
    width,
    pixels: page.pixels.subarray(at * height * width, (at + 1) * height * width),
    low: page.ranges[2 * at]!,
    high: page.ranges[2 * at + 1]!,
    nonfinite: page.nonfinite[at]!,
  };
}

function troubleOf(side: Side): string {
  const queries = pageQueries(side, inView.peek().length > 0 ? inView.peek() : [0]);
  return queries.map((query) => pages.failure(query)?.message ?? '').find((message) => message !== '') ?? '';
}
