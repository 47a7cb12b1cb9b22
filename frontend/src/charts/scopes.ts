/** Layers by the scope that their dotted names share. */

import type { LayerLabel } from './types';

export interface Scope {
  /** Dotted name; empty for layers that stand in none. */
  readonly name: string;
  /** Rows of the matrix, in order. */
  readonly members: readonly number[];
}

/** Below this height of a row, scopes fold by themselves. */
const FOLDS_BELOW = 4;

/** The repeated block that a layer belongs to: `h.0` of `h.0.attn.proj`, `stem` of `stem.conv`, else nothing.
 *
 * It ends with the first index in the name, for networks repeat numbered blocks; without one with the first part that
 * has a number in it, as `features.denseblock1`; without that it is the first part.
 */
export function scopeOf(name: string): string {
  const parts = name.split('.');
  const outer = parts.slice(0, -1);
  const index = outer.findIndex((part) => /^\d+$/.test(part));
  const numbered = outer.findIndex((part) => /\d/.test(part));
  const list = /^\d+$/.test(parts.at(-1)!) ? outer.length - 1 : 0;
  const last = [index, numbered, list].find((place) => place >= 0)!;
  return outer.slice(0, last + 1).join('.');
}

/** What is left of a layer's name inside its scope. */
export function leafOf(name: string, scope: string): string {
  return scope ? name.slice(scope.length + 1) : name;
}

/** Neighbours of one scope, in network order; a scope that comes back later is a second group of the same name. */
export function groupScopes(layers: readonly LayerLabel[], rows: readonly number[]): Scope[] {
  const scopes: { name: string; members: number[] }[] = [];
  for (const row of rows) {
    const name = scopeOf(layers[row]!.name);
    const last = scopes.at(-1);
    if (last && last.name === name) last.members.push(row);
    else scopes.push({ name, members: [row] });
  }
  return scopes;
}

/** The scopes to fold so that rows can be told apart in `height` pixels; those that hold a row of `open` stay open. */
export function autoFold(
  layers: readonly LayerLabel[],
  rows: readonly number[],
  height: number,
  open: readonly number[],
): Set<string> {
  const scopes = groupScopes(layers, rows);
  const folded = new Set<string>();
  if (height / Math.max(1, rows.length) >= FOLDS_BELOW || scopes.length < 2) return folded;
  const kept = new Set(open.filter((row) => layers[row]).map((row) => scopeOf(layers[row]!.name)));
  for (const { name, members } of scopes) if (name && members.length > 1 && !kept.has(name)) folded.add(name);
  return folded;
}
