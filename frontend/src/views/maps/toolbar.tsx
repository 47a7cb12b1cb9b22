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
import type { ScaleMode } from '../../state/maps-scale';
import * as selection from '../../state/selection';
import { Choice } from '../choice';
import { Down, Search } from '../icons';
import { Menu } from '../menu';
import { nameOr } from '../words';
import { Compare } from './compare';
import { StepBar } from './step-bar';
import { kindWords, sourceName, sourceWords } from './words';

export function Toolbar({ probe }: { probe: Probe }) {
  return (
    <>
      <div class="maps-toolbar">
        {(probes.value.value ?? []).length > 1 && <ProbeChoice probe={probe} />}
        <SourceChoice probe={probe} />
        <StepBar probe={probe} />
        <Compare probe={probe} />
      </div>
      <div class="maps-toolbar">
        <Ways />
        <Numbers />
      </div>
    </>
  );
}

function ProbeChoice({ probe }: { probe: Probe }) {
  return (
    <Menu
      label={`Probe: ${probe.name}`}
      button={
        <>
          <span class="clip">{nameOr(probe.name)}</span>
          <Down />
        </>
      }
      items={(probes.value.value ?? []).map((one) => ({
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
    <Menu
      label={`Module: ${chosen === null ? 'No module' : sourceName(chosen)}`}
      class="control source-button"
      button={
        <>
          <span class="clip">{chosen === null ? 'No module' : sourceName(chosen)}</span>
          <Down />
        </>
      }
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
      <span class="labelled">
        <span class="muted">Scale</span>
        <Choice
          label="Scale of the colours"
          options={SCALES}
          chosen={scaleMode.value}
          onChoose={(id) => {
            scaleMode.value = id as ScaleMode;
          }}
        />
      </span>
      <span class="labelled">
        <span class="muted">Sort</span>
        <Choice
          label="Sort the maps by"
          options={SORTS}
          chosen={sort.value}
          onChoose={(id) => sortNow(id as MapSort)}
        />
      </span>
      <span class="labelled">
        <span class="muted">Size</span>
        <Choice
          label="Size of the maps"
          options={SIZES}
          chosen={size.value}
          onChoose={(id) => {
            size.value = id as TileSize;
          }}
        />
      </span>
      <Menu
        label={`Show: ${shown.label}`}
        class={show.value === 'all' ? 'control' : 'control pressed'}
        button={
          <>
            <span class="clip">{shown.label}</span>
            <Down />
          </>
        }
        items={SHOWN.map(({ id, label }) => ({
          label,
          checked: id === show.value,
          action: () => sortNow(sort.value, id),
        }))}
      />
    </>
  );
}

function Numbers() {
  const { error } = numbers.value;
  return (
    <span class="map-numbers">
      <label class={error === null ? 'search' : 'search wrong'}>
        <Search />
        <input
          type="text"
          aria-label="Numbers of maps to show"
          title="Numbers of maps to show, such as 3, 8-15"
          aria-invalid={error !== null}
          placeholder="3, 8-15"
          spellcheck={false}
          autocomplete="off"
          value={typed.value}
          onInput={(event) => {
            typed.value = event.currentTarget.value;
          }}
          onKeyDown={(event) => {
            if (event.key !== 'Escape' || typed.value === '') return;
            event.stopPropagation();
            typed.value = '';
          }}
        />
      </label>
      {error !== null && (
        <p class="words wrong" role="status">
          {error}
        </p>
      )}
    </span>
  );
}
