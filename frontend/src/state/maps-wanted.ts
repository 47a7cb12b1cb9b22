/** Which pages to fetch, the most urgent first. */
import type { MapSource, PageQuery } from '../data/maps';
import { type PageLimits, pageOf, pageSize, pagesOf } from './paging';

const PAGE: PageLimits = { bytes: 2 ** 19, most: 256 };

/** A module of less than this is fetched whole, so that a scale over it is known and scrolling finds it there. */
const WHOLE_BYTES = 2 ** 22;

/** One module's maps for one input at one step. */
export interface Side {
  readonly run: string;
  readonly probe: string;
  /** Index into the probe's maps. */
  readonly map: number;
  readonly source: MapSource;
  readonly sample: number;
  readonly step: number;
}

/** How many maps of a module make a page. */
export function mapsOnPage({ height, width }: Pick<MapSource, 'height' | 'width'>): number {
  return pageSize(height * width, PAGE);
}

/** The page of a side that holds a map. */
export function pageQuery({ run, probe, map, source, sample, step }: Side, index: number): PageQuery {
  return { run, probe, map, step, sample, ...pageOf(index, mapsOnPage(source), source.maps) };
}

/** The pages that hold these maps of a side. */
export function pageQueries(side: Side, maps: readonly number[]): PageQuery[] {
  const there = maps.filter((index) => index < side.source.maps);
  return pagesOf(there, mapsOnPage(side.source)).map((first) => pageQuery(side, first));
}

export interface Wish {
  /** What is shown: one side, or two that are compared. */
  readonly sides: readonly Side[];
  /** Maps in sight. */
  readonly visible: readonly number[];
  /** A map that lies over the input. */
  readonly overlay: { readonly side: Side; readonly index: number } | null;
  /** The same sides at steps that may come next, in the order in which they may. */
  readonly ahead: readonly Side[];
}

export function wantedPages({ sides, visible, overlay, ahead }: Wish): PageQuery[] {
  const whole = sides.filter(({ source: { maps, height, width } }) => maps * height * width <= WHOLE_BYTES);
  return [
    // Even where no map is in sight, the strengths are asked for: they may be why none is.
    ...sides.flatMap((side) => pageQueries(side, visible.length > 0 ? visible : [0])),
    ...(overlay === null ? [] : [pageQuery(overlay.side, overlay.index)]),
    ...whole.flatMap((side) => pageQueries(side, allOf(side))),
    ...ahead.flatMap((side) => pageQueries(side, visible)),
  ];
}

const allOf = ({ source }: Side) => Array.from({ length: source.maps }, (_, index) => index);
