/** Thumbnails of points: fetched in pages, those around what is pointed at or listed. */
import { signal } from '@preact/signals';
import {
  getThumbnails,
  type ThumbnailPage,
  type ThumbnailQuery,
  type ThumbnailSize,
  thumbnailsAddress,
} from '../data/embeddings';
import type { Scene } from './embeddings';
import { PageStore } from './page-store';
import { type PageLimits, pageOf, pageSize } from './paging';

const PAGE: PageLimits = { bytes: 2 ** 18, most: 4096 };

export const thumbnailsStore = new PageStore<ThumbnailQuery, ThumbnailPage>({
  address: thumbnailsAddress,
  load: getThumbnails,
  bytes: 64 * 2 ** 20,
});

/** Whether thumbnails are shown: sprites of nothing much can be in the way. */
export const withThumbnails = signal(true);

/** How many thumbnails of a set make a page. */
export function thumbnailsOnPage({ height, width, channels }: ThumbnailSize): number {
  return pageSize(height * width * channels, PAGE);
}

/** The page that holds the thumbnail of a point; null where it has none. */
export function thumbnailQuery({ side, points, set }: Scene, index: number): ThumbnailQuery | null {
  const size = set.thumbnails;
  if (size === null || index >= size.count) return null;
  const page = pageOf(index, thumbnailsOnPage(size), size.count);
  return { run: side.run, embedding: side.embedding.name, set: points.set, ...page };
}

const wishes = new Map<object, readonly ThumbnailQuery[]>();

/** Ask for pages on behalf of one part of the view, in the place of what it asked for before; the last one to ask comes first. */
export function wantThumbnails(owner: object, queries: readonly ThumbnailQuery[]): void {
  wishes.delete(owner);
  if (queries.length > 0) wishes.set(owner, queries);
  thumbnailsStore.want([...wishes.values()].reverse().flat());
}
