/** Which points stand out: what they are coloured by, which groups and labels stay in colour, which points are picked. */
import { batch, computed, signal } from '@preact/signals';
import { areLinked, type Scene, scenes } from './embeddings';
import { type ColourBy, groupsOf, NO_GROUP, waysToColour } from './embeddings-groups';
import { searchOf, shownPoints } from './embeddings-search';
import * as selection from './selection';

/** What the reader typed to find points. */
export const typed = signal('');
/** Names of the groups that stay in colour, null for points in none; every one where there is no name. */
export const chosenNames = signal<ReadonlySet<string | null>>(new Set());

/** Some points of a set. */
export interface Picked {
  /** Which points they are among, see `placeOf`. */
  readonly place: string;
  /** Increasing. */
  readonly points: Uint32Array;
}

export const picked = signal<Picked | null>(null);

/** The point under the pointer, or in the crosshair of the keyboard. */
export interface Pointed {
  readonly slot: number;
  readonly index: number;
  /** In pixels from the corner of its picture. */
  readonly x: number;
  readonly y: number;
}

export const pointed = signal<Pointed | null>(null);

export const waysOffered = computed<readonly ColourBy[]>(() => {
  const [own] = scenes.value;
  return own === undefined ? ['none'] : waysToColour(own);
});

export const colourBy = computed<ColourBy>(
  () => waysOffered.value.find((way) => way === selection.colour.value) ?? waysOffered.value[0]!,
);

export const groups = computed(() => groupsOf(colourBy.value, scenes.value));

/** What was typed, as a test for the points of each scene. */
export const searches = computed(() => scenes.value.map((scene) => searchOf(typed.value, scene)));

/** [points] of each scene: 1 where a point stays in colour. */
export const shown = computed<readonly Uint8Array[]>(() => {
  const { names, codes } = groups.value;
  const chosen = new Set([...chosenNames.value].map((name) => codeOf(names, name)));
  return codes.map((own, index) => shownPoints(own, chosen, searches.value[index]!));
});

/** No point has it. */
const GONE = NO_GROUP - 1;

/** The group of a name; a name that no group has any more chooses nothing, rather than what is in no group. */
function codeOf(names: readonly string[], name: string | null): number {
  if (name === null) return NO_GROUP;
  const code = names.indexOf(name);
  return code < 0 ? GONE : code;
}

/** [points] of each scene: 1 where a point is picked. */
export const pickedMasks = computed<readonly Uint8Array[]>(() =>
  scenes.value.map(({ points: { count } }, index) => {
    const mask = new Uint8Array(count);
    for (const point of pickedIn(index)) if (point < count) mask[point] = 1;
    return mask;
  }),
);

const NOTHING = new Uint32Array(0);

/** The picked points of a scene, also where they were picked in a linked one. */
export function pickedIn(index: number): Uint32Array {
  const places = scenes.value.map(placeOf);
  const where = picked.value?.place ?? '';
  const isThere = places[index] === where || (areLinked.value && places.includes(where));
  return isThere ? picked.value!.points : NOTHING;
}

/** Which points a scene has: the same over all steps until others come. */
export function placeOf({ side: { run, embedding }, points }: Scene): string {
  const of = embedding.inputs === '' ? [run, embedding.name] : [embedding.inputs];
  return JSON.stringify([...of, points.set, points.count]);
}

export function pick(scene: Scene, points: Uint32Array): void {
  picked.value = points.length === 0 ? null : { place: placeOf(scene), points };
}

/** Pick a point as well, or leave it out again. */
export function togglePoint(index: number, point: number): void {
  const scene = scenes.value[index];
  if (scene === undefined) return;
  const before = [...pickedIn(index)];
  const after = before.includes(point) ? before.filter((one) => one !== point) : [...before, point];
  pick(scene, Uint32Array.from(after).sort());
}

/** Pick all points that are in colour. */
export function pickShown(): void {
  const [own] = scenes.value;
  const mask = shown.value[0];
  if (own === undefined || mask === undefined) return;
  pick(own, Uint32Array.from([...mask.keys()].filter((point) => mask[point] === 1)));
}

export function toggleGroup(name: string | null): void {
  const next = new Set(chosenNames.value);
  if (!next.delete(name)) next.add(name);
  chosenNames.value = next;
}

/** Colour by something else; groups of other names are not chosen there. */
export function colourPoints(by: ColourBy): void {
  batch(() => {
    selection.colour.value = by;
    chosenNames.value = new Set();
  });
}

/** Show all points in colour again. */
export function showAll(): void {
  batch(() => {
    chosenNames.value = new Set();
    typed.value = '';
  });
}
