/** What became of findings from one run to another: layers are matched by name, renamed ones by position and shape. */
import type { Consequence, Report } from '../data/findings';
import type { Run } from '../data/types';

type Network = Pick<Run, 'layers' | 'parameters'>;
type Found = Pick<Consequence, 'id' | 'rule' | 'layers'>;
type Judged = Pick<Report, 'not_checked'> & { readonly findings: readonly Found[] };

/** Of a finding of this run: the other one has it too, has it not, or was not checked for it. */
export type Standing = 'persisting' | 'new' | 'unknown';

export interface Comparison {
  /** By the id of each finding of this run. */
  readonly standing: ReadonlyMap<string, Standing>;
  /** Findings of the other run that this one has not. */
  readonly resolved: readonly Found[];
  /** Those of which nobody knows, since this run was not checked for them. */
  readonly unknown: readonly Found[];
}

/**
 * Compare the findings of a run with those of another one, which came before it.
 *
 * A finding is the same if its rule is, and one of its layers is, or it is about the whole run in both.
 *
 * @param mapping For each layer of this run the one of the other that is the same, or null.
 */
export function compareFindings(own: Judged, other: Judged, mapping: readonly (number | null)[]): Comparison {
  const matched = new Set<Found>();
  const standing = new Map<string, Standing>();
  for (const finding of own.findings) {
    const same = other.findings.filter((one) => isSame(finding, one, mapping));
    for (const one of same) matched.add(one);
    const absent = isUnchecked(other, finding) ? 'unknown' : 'new';
    standing.set(finding.id, same.length > 0 ? 'persisting' : absent);
  }
  const gone = other.findings.filter((one) => !matched.has(one));
  return {
    standing,
    resolved: gone.filter((one) => !isUnchecked(own, one)),
    unknown: gone.filter((one) => isUnchecked(own, one)),
  };
}

function isSame(own: Found, other: Found, mapping: readonly (number | null)[]): boolean {
  if (own.rule !== other.rule) return false;
  if (own.layers.length === 0 || other.layers.length === 0) return own.layers.length === other.layers.length;
  const theirs = new Set(other.layers);
  return own.layers.some((layer) => theirs.has(mapping[layer] ?? -1));
}

const isUnchecked = ({ not_checked }: Judged, { rule }: Found) =>
  not_checked.some((one) => one.rule === rule);

/** For each layer of `own` the layer of `other` that is the same, or null. */
export function matchLayers(own: Network, other: Network): (number | null)[] {
  const named = new Map(other.layers.map(({ name }, index) => [name, index]));
  const mapping = own.layers.map(({ name }) => named.get(name) ?? null);
  const taken = new Set(mapping);
  const left = own.layers.flatMap((_, index) => (mapping[index] === null ? [index] : []));
  const right = other.layers.flatMap((_, index) => (taken.has(index) ? [] : [index]));
  const leftShapes = left.map((index) => shapeOf(own, index));
  const rightShapes = right.map((index) => shapeOf(other, index));
  for (const [a, b] of commonOrder(leftShapes, rightShapes)) mapping[left[a]!] = right[b]!;
  return mapping;
}

/** What a layer is but for its name: its type and the shapes of its parameters. */
function shapeOf({ layers, parameters }: Network, index: number): string {
  const { type, parameters: own } = layers[index]!;
  return JSON.stringify([type, own.map((one) => parameters[one]?.shape)]);
}

/** Pairs of places at which the longest common subsequence of `a` and `b` stands. */
function commonOrder(a: readonly string[], b: readonly string[]): [number, number][] {
  const width = b.length + 1;
  const length = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      length[i * width + j] =
        a[i] === b[j]
          ? length[(i + 1) * width + j + 1]! + 1
          : Math.max(length[(i + 1) * width + j]!, length[i * width + j + 1]!);
  const pairs: [number, number][] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i] === b[j]) pairs.push([i++, j++]);
    else if (length[(i + 1) * width + j]! >= length[i * width + j + 1]!) i++;
    else j++;
  }
  return pairs;
}
