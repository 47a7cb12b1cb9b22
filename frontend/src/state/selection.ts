/** The one selection that drives every view and the address. */
import { signal } from '@preact/signals';
import type { Domain, Hover } from '../charts/types';
import type { Link } from './url';

export type Rows = 'layers' | 'parameters';

export const DEFAULT_STATISTIC = 'gradient_norm';
export const DEFAULT_UNIT_STATE = 'dead';
export const DEFAULT_LIST = 'state';
export const DEFAULT_SECTION = 'statistics';

/** Id of the view. */
export const view = signal('overview');
export const run = signal<string | null>(null);
/** Name of the layer. */
export const layer = signal<string | null>(null);
/** Name of the activation, and which of its units; null where the layer says enough. */
export const activation = signal<string | null>(null);
export const unit = signal<number | null>(null);
/** The step, or null for the newest one, which moves on with a live run. */
export const step = signal<number | null>(null);
/** What the Gradient flow and Activations views show. */
export const statistic = signal(DEFAULT_STATISTIC);
export const rows = signal<Rows>('layers');
/** Name of the parameter, where the rows are parameters. */
export const parameter = signal<string | null>(null);
/** Id of the state of units that the Dead units view counts. */
export const unitState = signal(DEFAULT_UNIT_STATE);
/** What is listed below: units in that `state`, `redundant` ones, or `all` of both. */
export const list = signal(DEFAULT_LIST);
/** From where on a unit is called dead; null leaves it to the server. */
export const minSamples = signal<number | null>(null);
export const minWindows = signal<number | null>(null);
/** Id of the part of the Activations view. */
export const section = signal(DEFAULT_SECTION);
/** Name of the probe, which of its inputs, and which of its modules: `kind:module`. */
export const probe = signal<string | null>(null);
export const sample = signal(0);
export const map = signal<string | null>(null);
/** What is compared with: `step:400`, `run:name` or `embedding:name`. */
export const against = signal<string | null>(null);
/** Name of the embedding, which of its layouts, and what its points are coloured by; null for what suits. */
export const embedding = signal<string | null>(null);
export const layout = signal<string | null>(null);
export const colour = signal<string | null>(null);
/** Pattern that the names of layers must match. */
export const filter = signal('');
/** Steps that are shown, or null for all. */
export const zoom = signal<Domain | null>(null);
/** Id of the finding that the reader chose last. */
export const finding = signal<string | null>(null);
/** Thresholds of the rules that are not at their defaults: "rule.name:value,…". */
export const thresholds = signal('');

/** What the pointer is over, in every chart of the page. Not part of the address. */
export const hover = signal<Hover | null>(null);

/** The selection as a link says it. */
export function toLink(): Link {
  return {
    view: view.value,
    ...(run.value === null ? {} : { run: run.value }),
    ...(layer.value === null ? {} : { layer: layer.value }),
    ...(activation.value === null ? {} : { activation: activation.value }),
    ...(unit.value === null ? {} : { unit: unit.value }),
    ...(step.value === null ? {} : { step: step.value }),
    ...(statistic.value === DEFAULT_STATISTIC ? {} : { statistic: statistic.value }),
    ...(rows.value === 'layers' ? {} : { rows: rows.value }),
    ...(unitState.value === DEFAULT_UNIT_STATE ? {} : { state: unitState.value }),
    ...(list.value === DEFAULT_LIST ? {} : { list: list.value }),
    ...(minSamples.value === null ? {} : { samples: minSamples.value }),
    ...(minWindows.value === null ? {} : { windows: minWindows.value }),
    ...(section.value === DEFAULT_SECTION ? {} : { section: section.value }),
    ...(probe.value === null ? {} : { probe: probe.value }),
    ...(sample.value === 0 ? {} : { sample: sample.value }),
    ...(map.value === null ? {} : { map: map.value }),
    ...(against.value === null ? {} : { against: against.value }),
    ...(embedding.value === null ? {} : { embedding: embedding.value }),
    ...(layout.value === null ? {} : { layout: layout.value }),
    ...(colour.value === null ? {} : { colour: colour.value }),
    ...(filter.value === '' ? {} : { filter: filter.value }),
    ...(finding.value === null ? {} : { finding: finding.value }),
    ...(thresholds.value === '' ? {} : { thresholds: thresholds.value }),
    ...(zoom.value === null ? {} : { domain: [Math.floor(zoom.value[0]), Math.ceil(zoom.value[1])] }),
  };
}

/** Select what a link says; what it leaves out goes back to its beginning. */
export function fromLink(link: Link): void {
  view.value = link.view ?? 'overview';
  run.value = link.run ?? run.value;
  layer.value = link.layer ?? null;
  activation.value = link.activation ?? null;
  unit.value = link.unit ?? null;
  step.value = link.step ?? null;
  statistic.value = link.statistic ?? DEFAULT_STATISTIC;
  rows.value = link.rows === 'parameters' ? 'parameters' : 'layers';
  parameter.value = null;
  unitState.value = link.state ?? DEFAULT_UNIT_STATE;
  list.value = link.list ?? DEFAULT_LIST;
  minSamples.value = link.samples ?? null;
  minWindows.value = link.windows ?? null;
  section.value = link.section ?? DEFAULT_SECTION;
  probe.value = link.probe ?? null;
  sample.value = link.sample ?? 0;
  map.value = link.map ?? null;
  against.value = link.against ?? null;
  embedding.value = link.embedding ?? null;
  layout.value = link.layout ?? null;
  colour.value = link.colour ?? null;
  filter.value = link.filter ?? '';
  finding.value = link.finding ?? null;
  thresholds.value = link.thresholds ?? '';
  zoom.value = link.domain ?? null;
}
