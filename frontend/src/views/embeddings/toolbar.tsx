/** Which embedding, at which step, and how its points are shown. */
import type { Signal } from '@preact/signals';
import type { Embedding } from '../../data/embeddings';
import { embeddings, layout, layoutIndex } from '../../state/embeddings';
import { layoutKey } from '../../state/embeddings-choice';
import type { ColourBy } from '../../state/embeddings-groups';
import { colourBy, colourPoints, waysOffered } from '../../state/embeddings-marks';
import { withThumbnails } from '../../state/embeddings-thumbnails';
import { withTrails } from '../../state/embeddings-trails';
import * as selection from '../../state/selection';
import { Choice } from '../choice';
import { Down } from '../icons';
import { Menu } from '../menu';
import { nameOr } from '../words';
import { Compare } from './compare';
import { areNamesWritten } from './group-names';
import { type PointSize, resetViews, sizeChoice, tool, withNames } from './looks';
import { StepBar } from './step-bar';
import { COLOUR_WORDS, embeddingHint, layoutWords } from './words';

export function Toolbar({ embedding }: { embedding: Embedding }) {
  return (
    <>
      <div class="maps-toolbar">
        <EmbeddingChoice embedding={embedding} />
        <LayoutChoice embedding={embedding} />
        <StepBar />
        <Compare />
      </div>
      <div class="maps-toolbar">
        <Colours />
        <Looks embedding={embedding} />
      </div>
    </>
  );
}

function EmbeddingChoice({ embedding }: { embedding: Embedding }) {
  const list = embeddings.value.value ?? [];
  if (list.length < 2) return null;
  return (
    <Menu
      label={`Embedding: ${nameOr(embedding.name)}`}
      class="control source-button"
      button={
        <>
          <span class="clip">{nameOr(embedding.name)}</span>
          <Down />
        </>
      }
      items={list.map((one) => ({
        label: nameOr(one.name),
        hint: embeddingHint(one),
        checked: one.name === embedding.name,
        action: () => {
          selection.embedding.value = one.name;
        },
      }))}
    />
  );
}

function LayoutChoice({ embedding: { layouts } }: { embedding: Embedding }) {
  const chosen = layout.value;
  if (chosen === null) return null;
  return (
    <Menu
      label={`Layout: ${layoutWords(chosen)}`}
      button={
        <>
          <span class="clip">{layoutWords(chosen)}</span>
          <Down />
        </>
      }
      items={layouts.map((one, index) => ({
        label: layoutWords(one),
        hint:
          one.steps.length === 0
            ? 'not ready yet'
            : `${one.steps.length} ${one.steps.length === 1 ? 'step' : 'steps'}`,
        checked: index === layoutIndex.value,
        action: () => {
          selection.layout.value = layoutKey(one);
        },
      }))}
    />
  );
}

function Colours() {
  const ways = waysOffered.value;
  if (ways.length < 2) return null;
  return (
    <span class="labelled">
      <span class="muted">Colour</span>
      <Choice
        label="Colour the points by"
        options={ways.map((id) => ({ id, label: COLOUR_WORDS[id] }))}
        chosen={colourBy.value}
        onChoose={(id) => colourPoints(id as ColourBy)}
      />
    </span>
  );
}

const SIZES: readonly { readonly id: PointSize; readonly label: string }[] = [
  { id: 'small', label: 'S' },
  { id: 'medium', label: 'M' },
  { id: 'large', label: 'L' },
];
const TOOLS = [
  { id: 'pan', label: 'Move' },
  { id: 'lasso', label: 'Lasso' },
] as const;

function Looks({ embedding }: { embedding: Embedding }) {
  const hasThumbnails = embedding.sets.some(({ thumbnails }) => thumbnails !== null);
  return (
    <>
      <span class="labelled">
        <span class="muted">Drag</span>
        <Choice
          label="What a drag does"
          options={TOOLS}
          chosen={tool.value}
          onChoose={(id) => {
            tool.value = id as 'pan' | 'lasso';
          }}
        />
      </span>
      <span class="labelled">
        <span class="muted">Size</span>
        <Choice
          label="Size of the points"
          options={SIZES}
          chosen={sizeChoice.value}
          onChoose={(id) => {
            sizeChoice.value = id as PointSize;
          }}
        />
      </span>
      <Toggle label="Trails" title="Where the points were at the steps before" on={withTrails} />
      {areNamesWritten.value && (
        <Toggle label="Names" title="Names of the groups in the picture" on={withNames} />
      )}
      {hasThumbnails && (
        <Toggle label="Thumbnails" title="Small pictures of the points" on={withThumbnails} />
      )}
      <button type="button" class="control" title="Show everything from the front (0)" onClick={resetViews}>
        Show all
      </button>
    </>
  );
}

function Toggle({ label, title, on }: { label: string; title: string; on: Signal<boolean> }) {
  return (
    <button
      type="button"
      class={on.value ? 'control pressed' : 'control'}
      title={title}
      aria-pressed={on.value}
      onClick={() => {
        on.value = !on.value;
      }}
    >
      {label}
    </button>
  );
}
