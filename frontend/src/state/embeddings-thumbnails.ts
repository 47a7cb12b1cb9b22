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
import { Store } from './embeddings-store';

/** About as many bytes to a page, and never more thumbnails than the server gives at once. */
const PAGE_BYTES = 2 ** 18;
const MOST = 4096;

export const thumbnailsStore = new Store<ThumbnailQuery, ThumbnailPage>({
  address: thumbnailsAddress,
  load: getThumbnails,
  bytes: 64 * 2 ** 20,
});

/** Whether thumbnails are shown: sprites of nothing much can be in the way. */
export const withThumbnails = signal(true);

/** How many thumbnails make a page; always the same for a set. */
export function thumbnailsOnPage({ height, width, channels }: ThumbnailSize): number {
  const fitting = Math.max(1, Math.floor(PAGE_BYTES / Math.max(1, height * width * channels)));
  return Math.min(MOST, 2 ** Math.floor(Math.log2(fitting)));
}

/** The page that holds the thumbnail of a point; null where it has none. */
export function thumbnailQuery({ side, points, set }: Scene, index: number): ThumbnailQuery | null {
  const size = set.thumbnails;
  if (size === null || index >= size.count) return null;
  const most = thumbnailsOnPage(size);
  const first = index - (index % most);
  const count = Math.min(most, size.count - first);
  return { run: side.run, embedding: side.embedding.name, set: points.set, first, count };
}

const wishes = new Map<object, readonly ThumbnailQuery[]>();

/** Ask for pages on behalf of one part of the view, in the place of what it asked for before; the last one to ask comes first. */
export function wantThumbnails(owner: object, queries: readonly ThumbnailQuery[]): void {
  wishes.delete(owner);
  if (queries.length > 0) wishes.set(owner, queries);
  thumbnailsStore.want([...wishes.values()].reverse().flat());
}
