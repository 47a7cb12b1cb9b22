/** Pages: many small things that are fetched together. */

export interface PageLimits {
  /** About as many to a page, and never more than `most` things, which is what the server gives at once. */
  readonly bytes: number;
  readonly most: number;
}

/** How many things of so many bytes make a page; always the same for things of a kind. */
export function pageSize(each: number, { bytes, most }: PageLimits): number {
  const fitting = Math.max(1, Math.floor(bytes / Math.max(1, each)));
  return Math.min(most, 2 ** Math.floor(Math.log2(fitting)));
}

/** The page of `size` things that holds one of `total`. */
export function pageOf(index: number, size: number, total: number): { first: number; count: number } {
  const first = index - (index % size);
  return { first, count: Math.min(size, total - first) };
}

/** First things of the pages that hold these, each once, in the order in which they are first needed. */
export function pagesOf(things: readonly number[], size: number): number[] {
  return [...new Set(things.map((thing) => thing - (thing % size)))];
}
