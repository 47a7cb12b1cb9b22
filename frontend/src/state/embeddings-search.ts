/** Which points stay in colour: those of the chosen groups whose labels match what was typed. */
import { className, type Labelled } from './embeddings-groups';
import { parseNumbers } from './maps-order';

export interface Search {
  readonly test: (index: number) => boolean;
  /** Why what was typed can't be read, in words. */
  readonly error: string | null;
}

const EVERY: Search = { test: () => true, error: null };

/** Points by what was typed: "#3, #8-15" for their numbers, a range for labels that are numbers, words for others. */
export function searchOf(typed: string, picture: Labelled): Search {
  const text = typed.trim();
  if (text === '') return EVERY;
  if (text.startsWith('#')) return byPoint(text);
  return picture.set.labels === 'numbers' ? byNumber(text, picture) : byWords(text, picture);
}

function byPoint(text: string): Search {
  const { test, error } = parseNumbers(text.replaceAll('#', ''));
  return { test, error: error && 'Type numbers of points, such as #3, #8-15. All are shown.' };
}

const NUMBER = String.raw`([-−+]?\d*\.?\d+(?:e[-+]?\d+)?)`;
const RANGE = new RegExp(String.raw`^${NUMBER}\s*(?:to|…|–|\.\.)\s*${NUMBER}$`, 'i');
const BOUND = new RegExp(String.raw`^([<>]=?|)\s*${NUMBER}$`, 'i');

function byNumber(text: string, { labels }: Labelled): Search {
  const passes = numberTest(text);
  if (passes === null)
    return { ...EVERY, error: 'Type a number, > 0.5, or 0.2 to 0.8. All points are shown.' };
  return { test: (index) => passes(labels?.[index] ?? Number.NaN), error: null };
}

/** Whether a number is in the range that `text` says; null where it says none. */
function numberTest(text: string): ((value: number) => boolean) | null {
  const numberOf = (part: string | undefined) => Number(part!.replace('−', '-'));
  const range = RANGE.exec(text);
  if (range !== null) {
    const [low, high] = [numberOf(range[1]), numberOf(range[2])];
    return (value) => value >= low && value <= high;
  }
  const bound = BOUND.exec(text);
  if (bound === null) return null;
  const limit = numberOf(bound[2]);
  const tests: Record<string, (value: number) => boolean> = {
    '<': (value) => value < limit,
    '<=': (value) => value <= limit,
    '>': (value) => value > limit,
    '>=': (value) => value >= limit,
    // Labels are float32: what was typed is the same only after that rounding.
    '': (value) => value === Math.fround(limit),
  };
  return tests[bound[1]!]!;
}

/** Labels that hold every word. */
function byWords(text: string, { set, labels }: Labelled): Search {
  const passing = set.classes.map((_, index) => matches(className(set, index), text));
  const test = (index: number) => passing[labels?.[index] ?? -1] ?? false;
  return { test, error: null };
}

/** Whether a name holds every word of a search. */
export function matches(name: string, text: string): boolean {
  const low = name.toLowerCase();
  return text
    .toLowerCase()
    .split(/\s+/)
    .every((word) => low.includes(word));
}

/** 1 for each point that stays in colour. `chosen` are groups; where there is none of them, every group is. */
export function shownPoints(codes: Int32Array, chosen: ReadonlySet<number>, { test }: Search): Uint8Array {
  return Uint8Array.from(codes, (code, index) =>
    (chosen.size === 0 || chosen.has(code)) && test(index) ? 1 : 0,
  );
}
