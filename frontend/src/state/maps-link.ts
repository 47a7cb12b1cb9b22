/** What follows from a change elsewhere, while someone looks at maps. */
import { effect } from '@preact/signals';
import type { Probe } from '../data/maps';
import { era, pages, probe, probes, seen, side, sorted, source, watching } from './maps';
import { mapsPlayer } from './maps-play';
import { keyOf } from './maps-seen';
import { sourceKey, sourceOfLayer } from './maps-sources';
import { whenRerecorded } from './rerecorded';
import * as selection from './selection';
import { retries } from './store';

/** Begin to look; returns what ends it. */
export function linkMaps(): () => void {
  watching.value = true;
  const stops = [followLayer(), keepOrder(), tryAgain(), forgetChanged()];
  return () => {
    mapsPlayer.stop();
    watching.value = false;
    for (const stop of stops) stop();
    pages.want([]);
  };
}

/** The layer that was selected when someone looked last. */
let lastLayer: string | null = null;

/** Another layer that is selected elsewhere brings its maps; the first one leaves what a link says. */
function followLayer(): () => void {
  return effect(() => {
    const now = selection.layer.value;
    const before = lastLayer;
    lastLayer = now;
    if (before === null || now === null || now === before) return;
    const maps = probe.peek()?.maps ?? [];
    const index = sourceOfLayer(maps, probe.peek()?.model ?? '', now);
    const shown = source.peek();
    if (index >= 0 && (shown === null || shown.module !== maps[index]!.module))
      selection.map.value = sourceKey(maps[index]!);
  });
}

/** Maps of another place are sorted anew. */
function keepOrder(): () => void {
  return effect(() => {
    const own = side.value;
    if (own !== null && sorted.peek()?.place !== keyOf(own))
      sorted.value = { place: keyOf(own), step: own.step };
  });
}

/** What failed may be there now: also after the next record, as one may be read before its second half is written. */
function tryAgain(): () => void {
  return effect(() => {
    void retries.value;
    void probes.value.value;
    pages.retry();
  });
}

/** What was recorded anew is read anew. */
function forgetChanged(): () => void {
  return whenRerecorded(
    () => probes.value.value ?? [],
    isChanged,
    () => {
      seen.clear();
      pages.clear();
      era.value = era.peek() + 1;
    },
  );
}

function isChanged(before: Probe, probes: readonly Probe[]): boolean {
  const now = probes.find(({ name }) => name === before.name);
  if (now === undefined) return false;
  const sameMaps = JSON.stringify(before.maps) === JSON.stringify(now.maps);
  return !sameMaps || !before.steps.every((step, index) => step === now.steps[index]);
}
