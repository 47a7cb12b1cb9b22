/** Modules whose maps are kept, by name, by layer and by step. */
import type { MapSource } from '../data/maps';

/** Name of a module's maps in the address. */
export function sourceKey({ kind, module }: Pick<MapSource, 'kind' | 'module'>): string {
  return `${kind}:${module}`;
}

/**
 * Index of the maps that belong to a layer: those of the module itself, else of a module around it or inside it;
 * -1 where there are none.
 */
export function sourceOfLayer(maps: readonly MapSource[], model: string, layer: string | null): number {
  if (layer === null) return -1;
  const prefix = `${model}/`;
  const name = model !== '' && layer.startsWith(prefix) ? layer.slice(prefix.length) : layer;
  const itself = maps.findIndex(({ module }) => module === name);
  if (itself >= 0) return itself;
  return maps.findIndex(
    ({ module }) => name.startsWith(`${module}.`) || (name !== '' && module.startsWith(`${name}.`)),
  );
}

/** Index of the same module's maps in another run; -1 where it has none. */
export function matchingSource(maps: readonly MapSource[], wanted: MapSource): number {
  return maps.findIndex((source) => sourceKey(source) === sourceKey(wanted));
}
