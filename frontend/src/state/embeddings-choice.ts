/** Which embedding and which of its layouts, by name. */
import type { Embedding, Layout } from '../data/embeddings';

/** Name of a layout in the address. */
export function layoutKey({ method, dims, origin }: Omit<Layout, 'steps'>): string {
  return `${method}-${dims}-${origin}`;
}

/** The most telling methods first; what a newer writer knows comes last. */
const METHODS = ['tsne', 'umap', 'pca'];

/**
 * Index of the layout to open on: t-SNE before PCA, in the plane before in space, and what somebody computed
 * offline before what came about in training. One without positions only where no other has any; -1 where there is none.
 */
export function bestLayout(layouts: readonly Layout[]): number {
  const rank = ({ method, dims, origin, steps }: Layout) => [
    steps.length > 0 ? 0 : 1,
    METHODS.includes(method) ? METHODS.indexOf(method) : METHODS.length,
    dims,
    origin === 'offline' ? 0 : 1,
  ];
  const order = layouts.map((_, index) => index);
  return order.sort((a, b) => compare(rank(layouts[a]!), rank(layouts[b]!)))[0] ?? -1;
}

function compare(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((one, index) => one !== b[index]);
  return at < 0 ? 0 : a[at]! - b[at]!;
}

/** Index of the layout that is named `key`, or of the one to open on. */
export function chosenLayout(layouts: readonly Layout[], key: string | null): number {
  const named = layouts.findIndex((layout) => layoutKey(layout) === key);
  return named >= 0 ? named : bestLayout(layouts);
}

/** Index of the layout that goes with `own`: of the same kind, else of the same method, else the one to open on. */
export function matchingLayout(layouts: readonly Layout[], own: Layout): number {
  const filled = (index: number) => index >= 0 && layouts[index]!.steps.length > 0;
  const same = layouts.findIndex((one) => layoutKey(one) === layoutKey(own));
  const alike = layouts.findIndex((one) => one.method === own.method && one.dims === own.dims);
  return [same, alike].find(filled) ?? bestLayout(layouts);
}

export function chosenEmbedding(list: readonly Embedding[], name: string | null): Embedding | null {
  return list.find((one) => one.name === name) ?? list[0] ?? null;
}

/** Whether two embeddings have the same points in the same order, as far as is known. */
export function haveSamePoints(a: Embedding, b: Embedding): boolean {
  return a.inputs !== '' && a.inputs === b.inputs;
}

/** The embeddings of a list that have the same points as `own`, itself among them. */
export function companions(list: readonly Embedding[], own: Embedding): readonly Embedding[] {
  return list.filter((one) => one === own || haveSamePoints(one, own));
}
