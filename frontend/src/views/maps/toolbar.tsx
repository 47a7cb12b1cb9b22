/** Which maps, and how they are shown. */
import type { TileSize } from '../../charts/maps/layout';
import type { Probe } from '../../data/maps';
import {
  numbers,
  probes,
  scaleMode,
  selectSource,
  show,
  shownSources,
  size,
  sort,
  sortNow,
  source,
  typed,
} from '../../state/maps';
import type { MapShow, MapSort } from '../../state/maps-order';
import { mapsPlayer } from '../../state/maps-play';
import type { ScaleMode } from '../../state/maps-scale';
import * as selection from '../../state/selection';
import { bound } from '../choice';
import { Pick } from '../pick';
import { SearchField } from '../search-field';
import { LabelledChoice, Toolbar } from '../toolbar';
import { nameOr } from '../words';
import { CompareMaps } from './compare';
import { kindWords, sourceName, sourceWords } from './words';

export function MapsToolbar({ probe }: { probe: Probe }) {
  return (
    <Toolbar
      which={
        <>
          <ProbeChoice probe={probe} />
          <SourceChoice probe={probe} />
        </>
      }
      steps={{ player: mapsPlayer, what: 'maps' }}
      compare={<CompareMaps />}
    >
      <Ways />
      <SearchField
        class="map-numbers"
        label="Numbers of maps to show"
        title="Numbers of maps to show, such as 3, 8-15"
        placeholder="3, 8-15"
        typed={typed}
        error={numbers.value.error}
      />
    </Toolbar>
  );
}

function ProbeChoice({ probe }: { probe: Probe }) {
  const list = probes.value.value ?? [];
  if (list.length < 2) return null;
  return (
    <Pick
      name="Probe"
      chosen={nameOr(probe.name)}
      items={list.map((one) => ({
        label: nameOr(one.name),
        hint: one.kind,
        checked: one.name === probe.name,
        action: () => {
          selection.probe.value = one.name;
        },
      }))}
    />
  );
}

function SourceChoice({ probe }: { probe: Probe }) {
  const chosen = source.value;
  return (
    <Pick
      name="Module"
      chosen={chosen === null ? 'No module' : sourceName(chosen)}
      class="control source-button"
      items={shownSources.value.map((index) => {
        const one = probe.maps[index]!;
        return {
          label: `${sourceName(one)} · ${kindWords(one.kind).label}`,
          hint: sourceWords(one),
          checked: one === chosen,
          action: () => selectSource(index),
        };
      })}
    />
  );
}

const SCALES: readonly { readonly id: ScaleMode; readonly label: string }[] = [
  { id: 'map', label: 'Each map' },
  { id: 'step', label: 'This step' },
  { id: 'steps', label: 'Steps loaded' },
];
const SORTS: readonly { readonly id: MapSort; readonly label: string }[] = [
  { id: 'index', label: 'Number' },
  { id: 'strength', label: 'Strength' },
];
const SHOWN: readonly { readonly id: MapShow; readonly label: string }[] = [
  { id: 'all', label: 'All maps' },
  { id: 'active', label: 'Those above zero strength' },
  { id: 'silent', label: 'Those that are zero everywhere' },
  { id: 'nonfinite', label: 'Those without a finite value' },
];
const SIZES: readonly { readonly id: TileSize; readonly label: string }[] = [
  { id: 'fit', label: 'Fit' },
  { id: 'small', label: 'S' },
  { id: 'medium', label: 'M' },
  { id: 'large', label: 'L' },
];

function Ways() {
  const shown = SHOWN.find(({ id }) => id === show.value)!;
  return (
    <>
      <LabelledChoice word="Scale" label="Scale of the colours" options={SCALES} {...bound(scaleMode)} />
      <LabelledChoice
        word="Sort"
        label="Sort the maps by"
        options={SORTS}
        chosen={sort.value}
        onChoose={(id) => sortNow(id)}
      />
      <LabelledChoice word="Size" label="Size of the maps" options={SIZES} {...bound(size)} />
      <Pick
        name="Show"
        chosen={shown.label}
        class={show.value === 'all' ? 'control' : 'control pressed'}
        items={SHOWN.map(({ id, label }) => ({
          label,
          checked: id === show.value,
          action: () => sortNow(sort.value, id),
        }))}
      />
    </>
  );
}
