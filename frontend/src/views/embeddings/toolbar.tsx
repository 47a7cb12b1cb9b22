/** Which embedding, at which step, and how its points are shown. */
import type { Signal } from '@preact/signals';
import type { Embedding } from '../../data/embeddings';
import { embeddings, layout, layoutIndex } from '../../state/embeddings';
import { layoutKey } from '../../state/embeddings-choice';
import { colourBy, colourPoints, waysOffered } from '../../state/embeddings-marks';
import { embeddingPlayer } from '../../state/embeddings-play';
import { withThumbnails } from '../../state/embeddings-thumbnails';
import { withTrails } from '../../state/embeddings-trails';
import * as selection from '../../state/selection';
import { bound } from '../choice';
import { Pick } from '../pick';
import { LabelledChoice, Toolbar } from '../toolbar';
import { nameOr, plural } from '../words';
import { ComparePoints } from './compare';
import { areNamesWritten } from './group-names';
import { type PointSize, resetViews, sizeChoice, tool, withNames } from './looks';
import { COLOUR_WORDS, embeddingHint, layoutWords } from './words';

export function PointsToolbar({ embedding }: { embedding: Embedding }) {
  return (
    <Toolbar
      which={
        <>
          <EmbeddingChoice embedding={embedding} />
          <LayoutChoice embedding={embedding} />
        </>
      }
      steps={{ player: embeddingPlayer, what: 'points', playKey: 'space' }}
      compare={<ComparePoints />}
    >
      <Colours />
      <Looks embedding={embedding} />
    </Toolbar>
  );
}

function EmbeddingChoice({ embedding }: { embedding: Embedding }) {
  const list = embeddings.value.value ?? [];
  if (list.length < 2) return null;
  return (
    <Pick
      name="Embedding"
      chosen={nameOr(embedding.name)}
      class="control source-button"
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
    <Pick
      name="Layout"
      chosen={layoutWords(chosen)}
      items={layouts.map((one, index) => ({
        label: layoutWords(one),
        hint: one.steps.length === 0 ? 'not ready yet' : plural(one.steps.length, 'step'),
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
    <LabelledChoice
      word="Colour"
      label="Colour the points by"
      options={ways.map((id) => ({ id, label: COLOUR_WORDS[id] }))}
      chosen={colourBy.value}
      onChoose={colourPoints}
    />
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
      <LabelledChoice word="Drag" label="What a drag does" options={TOOLS} {...bound(tool)} />
      <LabelledChoice word="Size" label="Size of the points" options={SIZES} {...bound(sizeChoice)} />
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
