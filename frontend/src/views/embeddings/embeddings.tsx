/** Embeddings: how the representation of some points moves while the network trains. */
import { useEffect } from 'preact/hooks';
import { formatCount } from '../../charts/numbers';
import type { Embedding } from '../../data/embeddings';
import { embedding, embeddings, ownSide, type Scene, scenes, sides, troubleOf } from '../../state/embeddings';
import { linkEmbeddings } from '../../state/embeddings-link';
import * as selection from '../../state/selection';
import { Omissions } from '../omissions';
import { Failures, Unreadable } from '../states';
import { formatBytes, nameOr, plural } from '../words';
import { Cloud } from './cloud';
import { comparisonTrouble } from './compare';
import { NoEmbeddings, NoPositions } from './empty';
import { Legend } from './legend';
import { Measures } from './measures';
import { sceneName } from './points-table';
import { pickedScene, Selected } from './selected';
import { Similarity } from './similarity';
import { PointsToolbar } from './toolbar';

export function Embeddings() {
  useEffect(linkEmbeddings, []);
  const { value, error } = embeddings.value;
  if (value === null)
    return error === null ? <Waiting /> : <Unreadable what="embeddings" words={error.message} />;
  if (embedding.value === null) return <NoEmbeddings />;
  if (ownSide.value === null) return <NoPositions embedding={embedding.value} />;
  return <Page embedding={embedding.value} />;
}

function Page({ embedding }: { embedding: Embedding }) {
  const picked = pickedScene();
  return (
    <div class={picked === null ? 'embeddings' : 'embeddings with-selected'}>
      <h2 class="visually-hidden">Embeddings</h2>
      <section class="embeddings-stage" aria-label="Points">
        <PointsToolbar embedding={embedding} />
        <Notes />
        <Clouds embedding={embedding} />
      </section>
      {picked !== null && <Selected scene={picked} />}
      <div class="embeddings-side">
        <Legend />
        <Recorded embedding={embedding} />
        <Measures />
        <Similarity />
      </div>
    </div>
  );
}

function Clouds({ embedding }: { embedding: Embedding }) {
  const list = scenes.value;
  if (list.length === 0) return sides.value.some(troubleOf) ? null : <Waiting />;
  return (
    <div class={list.length > 1 ? 'clouds two' : 'clouds'}>
      {list.map((scene, index) => (
        <Cloud key={scene.slot} scene={scene} index={index} title={titleOf(scene, list, embedding)} />
      ))}
    </div>
  );
}

function titleOf(scene: Scene, list: readonly Scene[], own: Embedding): string {
  if (list.length > 1) return sceneName(scene, list);
  return `${nameOr(own.name)} at step ${formatCount(scene.side.step)}`;
}

/** What the reader should know of what is shown: another step, what is not there, and what failed. */
function Notes() {
  const own = ownSide.value;
  const notes: string[] = [];
  const step = selection.step.value;
  if (own !== null && step !== null && step !== own.step)
    notes.push(`Points were recorded at step ${formatCount(own.step)}, not at ${formatCount(step)}.`);
  const comparison = comparisonTrouble();
  if (comparison !== '') notes.push(comparison);
  const troubles = [...new Set(sides.value.map((side) => troubleOf(side)?.message ?? ''))].filter(Boolean);
  if (notes.length === 0 && troubles.length === 0) return null;
  return (
    <p class="view-notes">
      {notes.length > 0 && <span>{notes.join(' ')}</span>}
      <Failures words={troubles} />
    </p>
  );
}

function Recorded({ embedding }: { embedding: Embedding }) {
  const { layouts, module, nbytes } = embedding;
  const steps = Math.max(0, ...layouts.map((layout) => layout.steps.length));
  return (
    <section class="recorded" aria-label="What was recorded">
      <h3>Recorded</h3>
      <p>
        {module === '' ? 'Vectors that were given' : `Output of module ${module}`}, {plural(steps, 'step')},{' '}
        {formatBytes(nbytes)}
      </p>
      <Omissions omissions={embedding.omissions} />
    </section>
  );
}

function Waiting() {
  return <div class="clouds-waiting" role="status" aria-label="Loading embeddings" />;
}
