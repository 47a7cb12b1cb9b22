/** Which activation and which unit is selected, and what can be asked about them. */
import { batch, computed } from '@preact/signals';
import {
  deadAddress,
  deathsAddress,
  getDead,
  getDeaths,
  getRedundant,
  getUnits,
  redundantAddress,
  type UnitsQuery,
  unitsAddress,
} from '../data/client';
import type { Request } from '../data/resource';
import type { Activation, DeadSeries, Death, Redundancy, ThresholdChoice, UnitPage } from '../data/types';
import { filter, layerIndex, layers } from './derived';
import { rowBy } from './layers';
import * as selection from './selection';
import { aboutRun, catalogue, run } from './store';

export const activations = computed<readonly Activation[]>(() => run.value.value?.activations ?? []);

/** Index of the selected activation: the chosen one, else the first of the selected layer, units or not; null for none. */
export const activationIndex = computed<number | null>(() => {
  const all = activations.value;
  const chosen = all.findIndex(({ name }) => name === selection.activation.value);
  if (chosen >= 0) return chosen;
  const own = layerIndex.value === null ? -1 : all.findIndex(({ layer }) => layer === layerIndex.value);
  return own < 0 ? null : own;
});

export const activationLabels = computed(() =>
  activations.value.map(({ label, units }) => ({
    name: label,
    ...(units > 0 ? { detail: String(units) } : {}),
  })),
);

/** Activations that pass the filter, in network order. */
export const shownActivations = computed(() =>
  activations.value.flatMap(({ label }, index) => (filter.value.test(label) ? [index] : [])),
);

/** Select an activation, the layer that makes it, and none of its units. */
export function selectActivation(index: number): void {
  const chosen = activations.value[index];
  if (chosen === undefined) return;
  batch(() => {
    if (index !== activationIndex.value) selection.unit.value = null;
    selection.activation.value = chosen.name;
    selection.layer.value = layers.value[chosen.layer ?? -1]?.name ?? null;
  });
}

export function moveActivation(rows: readonly number[], count: number): void {
  const row = rowBy(rows, activationIndex.value, count);
  if (row !== null) selectActivation(row);
}

export function selectUnit(unit: number): void {
  const total = activations.value[activationIndex.value ?? -1]?.units ?? 0;
  if (total > 0) selection.unit.value = Math.min(total - 1, Math.max(0, Math.round(unit)));
}

/** What the states of units are called, by their codes: "dead". */
export const stateNames = computed<readonly string[]>(() =>
  (catalogue.value.value?.unit_states ?? []).map(({ label }) => label.toLowerCase()),
);

/** The thresholds that the reader moved. */
export const thresholds = computed<ThresholdChoice>(() => ({
  samples: selection.minSamples.value ?? undefined,
  windows: selection.minWindows.value ?? undefined,
}));

export function aboutDead(): Request<DeadSeries> | null {
  const states = catalogue.value.value?.unit_states.length;
  if (states === undefined || !run.value.value?.has_units) return null;
  const choice = thresholds.value;
  return aboutRun(
    (name) => deadAddress(name, choice),
    (name, signal) => getDead(name, choice, states, signal),
  );
}

export function aboutDeaths(): Request<Death[]> | null {
  const choice = thresholds.value;
  if (!run.value.value?.has_units) return null;
  return aboutRun(
    (name) => deathsAddress(name, choice),
    (name, signal) => getDeaths(name, choice, signal),
  );
}

export function aboutRedundant(): Request<Redundancy> | null {
  const choice = thresholds.value;
  if (!run.value.value?.has_units) return null;
  return aboutRun(
    (name) => redundantAddress(name, choice),
    (name, signal) => getRedundant(name, choice, signal),
  );
}

export type UnitsWanted = Omit<UnitsQuery, 'run' | 'samples' | 'windows'>;

export function aboutUnits(wanted: UnitsWanted): Request<UnitPage> | null {
  const query = { ...wanted, ...thresholds.value };
  return aboutRun(
    (name) => unitsAddress({ run: name, ...query }),
    (name, signal) => getUnits({ run: name, ...query }, signal),
  );
}
