/** What points are coloured by: groups of points with a name each, or a number for each point. */
import type { PointSet, Points } from '../data/embeddings';

export type ColourBy = 'class' | 'prediction' | 'correctness' | 'number' | 'none';

/** The group of a point that has none. */
export const NO_GROUP = -1;
export const RIGHT = 0;
export const WRONG = 1;

/** The points of one picture, with what is known of each. */
export interface Labelled {
  readonly points: Points;
  readonly set: PointSet;
  /** [points] Class or number; NaN where there is none; null where the points have no labels or these aren't there yet. */
  readonly labels: Float32Array | null;
}

/** What points can be coloured by, the first one by default. */
export function waysToColour({ points, set, labels }: Labelled): ColourBy[] {
  const classes = set.labels === 'classes' && labels !== null;
  const ways: ColourBy[] = [];
  if (classes) ways.push('class');
  if (set.labels === 'numbers' && labels !== null) ways.push('number');
  if (points.predictions !== null) ways.push('prediction');
  if (classes && points.predictions !== null) ways.push('correctness');
  return [...ways, 'none'];
}

/** Groups that stand in one or two pictures: the same name is the same group in both. */
export interface Groups {
  /** In order: of the classes as they are listed, then others as they come. */
  readonly names: readonly string[];
  /** [points] The group of each point, one list for each picture. */
  readonly codes: readonly Int32Array[];
  /** Points of each group in the first picture that has any of it. */
  readonly counts: readonly number[];
  /** Points in no group in the first picture. */
  readonly without: number;
}

export function groupsOf(by: ColourBy, pictures: readonly Labelled[]): Groups {
  if (by === 'correctness') return gathered(['right', 'wrong'], pictures.map(correctness));
  if (by !== 'class' && by !== 'prediction') return gathered([], pictures.map(ungrouped));
  const keys = new Map<string, number>();
  const codes = pictures.map((picture) => namedCodes(by, picture, keys));
  return gathered([...keys.keys()], codes);
}

function gathered(names: readonly string[], codes: readonly Int32Array[]): Groups {
  const counted = codes.map((own) => countsOf(own, names.length));
  const counts = names.map((_, group) => counted.map((own) => own[group]!).find((count) => count > 0) ?? 0);
  const without = codes[0]?.reduce((sum, code) => sum + (code === NO_GROUP ? 1 : 0), 0) ?? 0;
  return { names, codes, counts, without };
}

function countsOf(codes: Int32Array, groups: number): Float64Array {
  const counts = new Float64Array(groups);
  for (const code of codes) if (code !== NO_GROUP) counts[code]! += 1;
  return counts;
}

/** Codes by the names of classes; `keys` gets those that it does not hold yet. */
function namedCodes(by: 'class' | 'prediction', picture: Labelled, keys: Map<string, number>): Int32Array {
  const { points, set } = picture;
  const codeOf = (name: string) => {
    if (!keys.has(name)) keys.set(name, keys.size);
    return keys.get(name)!;
  };
  const listed = set.classes.map((_, index) => codeOf(className(set, index)));
  const values = by === 'class' ? picture.labels : points.predictions;
  return Int32Array.from({ length: points.count }, (_, index) => {
    const value = values?.[index] ?? Number.NaN;
    return isClass(value) ? (listed[value] ?? codeOf(className(set, value))) : NO_GROUP;
  });
}

/** Right, wrong, or not known. */
function correctness({ points, labels }: Labelled): Int32Array {
  return Int32Array.from({ length: points.count }, (_, index) => {
    const [label, predicted] = [labels?.[index] ?? Number.NaN, points.predictions?.[index] ?? Number.NaN];
    if (!isClass(label) || !isClass(predicted)) return NO_GROUP;
    return label === predicted ? RIGHT : WRONG;
  });
}

const ungrouped = ({ points }: Labelled) => new Int32Array(points.count).fill(NO_GROUP);

const isClass = (value: number) => Number.isInteger(value) && value >= 0;

/** The name of a class; of one that is not listed its number. */
export function className({ classes }: PointSet, index: number): string {
  const name = classes[index];
  return name === undefined || name.trim() === '' ? `class ${index}` : name;
}

/** A point's label in words; empty where it has none. */
export function labelWords({ set, labels }: Labelled, index: number): string {
  const value = labels?.[index] ?? Number.NaN;
  if (Number.isNaN(value)) return '';
  return set.labels === 'classes' ? className(set, value) : String(Number(value.toPrecision(6)));
}

/** What the model predicts for a point, in words; empty where that is not known. */
export function predictionWords({ points, set }: Labelled, index: number): string {
  const value = points.predictions?.[index] ?? Number.NaN;
  return isClass(value) ? className(set, value) : '';
}

/** Lowest and highest finite number of the labels; null where there is none. */
export function numberRange(pictures: readonly Labelled[]): readonly [number, number] | null {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { labels } of pictures)
    for (const value of labels ?? [])
      if (Number.isFinite(value)) {
        if (value < low) low = value;
        if (value > high) high = value;
      }
  return low <= high ? [low, high] : null;
}
