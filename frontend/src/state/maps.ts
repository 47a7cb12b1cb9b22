/** Which maps are looked at: probe, input, module and step, and what they are compared with. */
import { batch, computed, signal } from '@preact/signals';
import type { TileSize } from '../charts/maps/layout';
import {
  getInputs,
  getPage,
  getProbes,
  inputsAddress,
  type MapPage,
  type MapSource,
  type PageQuery,
  type Probe,
  pageAddress,
  probesAddress,
} from '../data/maps';
import { selectLayer } from './actions';
import { aboutCompared, against } from './against';
import { filter, layers } from './derived';
import { rowBy } from './layers';
import { type MapShow, type MapSort, orderMaps, parseNumbers } from './maps-order';
import { type ScaleMode, scaleOf } from './maps-scale';
import { keyOf, Seen } from './maps-seen';
import { matchingSource, sourceKey, sourceOfLayer } from './maps-sources';
import { pageQueries, type Side } from './maps-wanted';
import { PageStore } from './page-store';
import * as selection from './selection';
import { stepAtOrBefore } from './steps';
import { aboutRun, follow } from './store';

/** Whether someone looks at maps: nothing is asked for before. */
export const watching = signal(false);

export const scaleMode = signal<ScaleMode>('map');
export const sort = signal<MapSort>('index');
export const show = signal<MapShow>('all');
/** Numbers of maps as they were typed. */
export const typed = signal('');
export const size = signal<TileSize>('fit');
/** What lies over the input: the key of a module, '' for nothing, or null for what suits. */
export const overlay = signal<string | null>(null);
export const opacity = signal(0.6);
/** The map under the cursor of the keyboard, and whether it is shown large. */
export const cursor = signal(0);
export const zoomed = signal(false);
/** Maps in sight. */
export const inView = signal<readonly number[]>([]);
/** Where all steps are to be loaded, see `keyOf`. */
export const wholePlace = signal<string | null>(null);

export const seen = new Seen();
export const pages = new PageStore<PageQuery, MapPage>({
  address: pageAddress,
  load: getPage,
  bytes: 128 * 2 ** 20,
  told: (query, page) => seen.add(query, page),
});
/** Counts how often what was recorded turned out to have changed. */
export const era = signal(0);

export const probes = follow(() => (watching.value ? aboutRun(probesAddress, getProbes) : null)).state;

export const probe = computed<Probe | null>(() => chosen(probes.value.value ?? [], selection.probe.value));

/** Index of the chosen module among the probe's maps; -1 where the probe has none. */
export const sourceIndex = computed(() => {
  const maps = probe.value?.maps ?? [];
  const named = maps.findIndex((source) => sourceKey(source) === selection.map.value);
  if (named >= 0) return named;
  return Math.max(
    sourceOfLayer(maps, probe.value?.model ?? '', selection.layer.value),
    Math.min(0, maps.length - 1),
  );
});

export const source = computed<MapSource | null>(() => probe.value?.maps[sourceIndex.value] ?? null);

/** Indices of the modules whose names pass the filter of layers; all of them where none does. */
export const shownSources = computed<readonly number[]>(() => {
  const all = (probe.value?.maps ?? []).map((_, index) => index);
  const passing = all.filter((index) => filter.value.test(probe.value!.maps[index]!.module));
  return passing.length > 0 ? passing : all;
});

export const sample = computed(() =>
  Math.max(0, Math.min((probe.value?.samples ?? 1) - 1, selection.sample.value)),
);

export const probeSteps = computed<readonly number[]>(() => probe.value?.steps ?? []);

/** The probe's step that is shown: the selected one, or the last one before it. */
export const probeStep = computed<number | null>(() =>
  stepAtOrBefore(probeSteps.value, selection.step.value),
);

/** Whether the layer that is selected in the other views is another one. */
export const otherLayer = computed<string | null>(() => {
  const layer = selection.layer.value;
  const maps = probe.value?.maps ?? [];
  return layer !== null && sourceOfLayer(maps, probe.value?.model ?? '', layer) < 0 ? layer : null;
});

export const inputs = follow(() => {
  const run = selection.run.value;
  const name = probe.value?.inputs ? probe.value.name : null;
  if (run === null || name === null) return null;
  return {
    address: inputsAddress(run, name),
    version: String(era.value),
    load: (signal: AbortSignal) => getInputs(run, name, signal),
  };
}).state;

/** What is shown. */
export const side = computed<Side | null>(() => {
  const run = selection.run.value;
  if (run === null || probe.value === null || source.value === null || probeStep.value === null) return null;
  return {
    run,
    probe: probe.value.name,
    map: sourceIndex.value,
    source: source.value,
    sample: sample.value,
    step: probeStep.value,
  };
});

/** What maps are compared with: embeddings are nothing to them. */
export const mapsAgainst = computed(() => (against.value?.kind === 'embedding' ? null : against.value));

/** The probes of the run that this one is compared with. */
export const otherProbes = follow(() =>
  watching.value ? aboutCompared(probesAddress, getProbes) : null,
).state;

/** The probe of the other side. */
export const otherProbe = computed<Probe | null>(() => {
  const other = mapsAgainst.value;
  if (other === null || probe.value === null) return null;
  return other.kind === 'step' ? probe.value : chosen(otherProbes.value.value ?? [], probe.value.name);
});

/** What is compared with, where there is such a thing. */
export const otherSide = computed<Side | null>(() => {
  const [own, other, theirs] = [side.value, mapsAgainst.value, otherProbe.value];
  if (own === null || other === null || theirs === null) return null;
  const map = matchingSource(theirs.maps, own.source);
  const step = stepAtOrBefore(theirs.steps, other.kind === 'step' ? other.step : own.step);
  if (map < 0 || step === null || own.sample >= theirs.samples) return null;
  const run = other.kind === 'run' ? other.run : own.run;
  return { ...own, run, probe: theirs.name, map, source: theirs.maps[map]!, step };
});

export const sides = computed<readonly Side[]>(() =>
  [side.value, otherSide.value].filter((one) => one !== null),
);

let drawn: readonly Side[] = [];

/** The sides that are drawn: another step takes the place of the one that is seen once some of its maps are there. */
export const drawnSides = computed<readonly Side[]>(() => {
  void pages.arrivals.value;
  const wanted = sides.value;
  const places = (of: readonly Side[]) => of.map(keyOf).join();
  const maps = inView.value.length > 0 ? inView.value : [0];
  const isThere = (one: Side) => pageQueries(one, maps).some((query) => pages.isSettled(query));
  if (places(drawn) !== places(wanted) || wanted.every(isThere)) drawn = wanted;
  return drawn;
});

export const numbers = computed(() => parseNumbers(typed.value));

/** Where and at which step the maps are sorted: the order stays while steps go by. */
export const sorted = signal<{ readonly place: string; readonly step: number } | null>(null);

/** The step by whose strengths maps are sorted and left out. */
export const sortStep = computed<number | null>(() => {
  const own = side.value;
  if (own === null) return null;
  return sorted.value?.place === keyOf(own) ? sorted.value.step : own.step;
});

export const order = computed<readonly number[]>(() => {
  void pages.arrivals.value;
  const own = side.value;
  if (own === null) return [];
  const strength = seen.of(own).get(sortStep.value ?? own.step)?.strength ?? null;
  return orderMaps(own.source.maps, strength, { sort: sort.value, show: show.value, numbers: numbers.value });
});

export const scale = computed(() => {
  void pages.arrivals.value;
  return scaleOf(
    scaleMode.value,
    drawnSides.value.map((one) => ({ seen: seen.of(one), step: one.step })),
  );
});

export function selectSource(index: number): void {
  const picked = probe.value?.maps[index];
  if (picked === undefined) return;
  const name = layerName(picked.module);
  batch(() => {
    selection.map.value = sourceKey(picked);
    const layer = layers.value.findIndex((one) => one.name === name);
    if (layer >= 0) selectLayer(layer);
  });
}

/** The module `count` further among those that are shown. */
export function moveSource(count: number): void {
  const index = rowBy(shownSources.value, sourceIndex.value, count);
  if (index !== null) selectSource(index);
}

/** Sort by the strengths of the step that is shown. */
export function sortNow(by: MapSort, only: MapShow = show.value): void {
  batch(() => {
    sort.value = by;
    show.value = only;
    sorted.value = side.value && { place: keyOf(side.value), step: side.value.step };
  });
}

function chosen(list: readonly Probe[], name: string | null): Probe | null {
  return list.find((one) => one.name === name) ?? list[0] ?? null;
}

/** The layer's name: with that of the model, and without the number of a later call. */
function layerName(module: string): string {
  const called = module.replace(/#\d+$/, '');
  const name = probe.value?.model ? `${probe.value.model}/${called}` : called;
  return layers.value.some((layer) => layer.name === name) ? name : called;
}
