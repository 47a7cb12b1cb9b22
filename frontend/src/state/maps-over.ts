/** The map that lies over the input. */
import { computed } from '@preact/signals';
import { cursor, overlay, pages, probe, seen, side, source } from './maps';
import { scaleOf } from './maps-scale';
import { sourceKey } from './maps-sources';
import type { Side } from './maps-wanted';

/** Stands for the map under the cursor, whichever that is. */
export const CURSOR = '*';

/** Whether maps of this kind lie over the input by their nature, place by place. */
export function liesOverInput(kind: string): boolean {
  return kind === 'saliency' || kind === 'grad_cam';
}

/** What the reader chose, or what suits the module. */
export const overChoice = computed(() => {
  const own = source.value;
  return overlay.value ?? (own !== null && liesOverInput(own.kind) ? CURSOR : '');
});

/** Where the map over the input is found; null where there is none. */
export const over = computed<{ readonly side: Side; readonly index: number } | null>(() => {
  const own = side.value;
  const choice = overChoice.value;
  if (own === null || choice === '') return null;
  if (choice === CURSOR) return { side: own, index: cursor.value };
  const map = probe.value?.maps.findIndex((one) => sourceKey(one) === choice) ?? -1;
  return map < 0 ? null : { side: { ...own, map, source: probe.value!.maps[map]! }, index: 0 };
});

/** How that map is coloured: over its own range. */
export const overScale = computed(() => {
  void pages.arrivals.value;
  const one = over.value;
  return one === null ? null : scaleOf('map', [{ seen: seen.of(one.side), step: one.side.step }]);
});
