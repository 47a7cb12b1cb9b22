/** How far a picture can be trusted, below it. */
import type { ComponentType } from 'preact';
import { formatValue } from '../../charts/numbers';
import type { Scene } from '../../state/embeddings';
import { numberAt, trackOf } from '../../state/embeddings-tables';
import { Check, Diamond, Info, Warning } from '../icons';
import { Popover } from '../popover';
import {
  methodWords,
  movementWords,
  pcaOnlyWords,
  recordNotes,
  shareWords,
  TRUST_WORDS,
  type Trust,
  trustOf,
} from './words';

const ICONS: Readonly<Record<Trust, ComponentType>> = {
  good: Check,
  fair: Diamond,
  poor: Warning,
  unknown: Info,
};

export function TrustLine({ scene }: { scene: Scene }) {
  const { side, points } = scene;
  const track = trackOf({ run: side.run, embedding: side.embedding.name });
  if (track === null) return <p class="trust" />;
  const value = (column: string) => numberAt(track.layout, column, side.step);
  const trust = trustOf(value('trustworthiness'));
  const Icon = ICONS[trust];
  const notes = [
    pcaOnlyWords(side.embedding),
    ...recordNotes(track.layout, side.step, nowhereIn(points.positions, points.dims), points.count),
  ].filter((note) => note !== '');
  return (
    <div class="trust">
      <p>
        <span class={`trust-verdict is-${trust}`}>
          <Icon />
          <span>
            {Number.isFinite(value('trustworthiness')) && (
              <b>Trustworthiness {formatValue(value('trustworthiness'), 3)}. </b>
            )}
            {TRUST_WORDS[trust]}
          </span>
        </span>
        <About scene={scene} />
      </p>
      <p class="secondary">
        {shareWords(value('recall'))} of the 10 nearest neighbours are so here too ·{' '}
        {movementWords(value('drift'), value('noise_floor'))}
      </p>
      {notes.length > 0 && <p class="secondary">{notes.join(' ')}</p>}
    </div>
  );
}

/** Points without a position. */
function nowhereIn(positions: Float32Array, dims: number): number {
  let count = 0;
  for (let place = 0; place < positions.length; place += dims) if (Number.isNaN(positions[place]!)) count++;
  return count;
}

function About({ scene: { side } }: { scene: Scene }) {
  const { label, definition, caution } = methodWords(side.embedding.layouts[side.layout]!.method);
  return (
    <Popover label="How far can this picture be trusted?" class="icon-button small" button={<Info />}>
      {() => (
        <div class="sheet">
          <div class="definition">
            <h3>{label}</h3>
            <p>{definition}</p>
            <p class="secondary">{caution}</p>
            <p>
              <b>Trustworthiness</b> is high where the neighbours of a point in the picture are its neighbours
              among the vectors too; 1 is perfect. <b>Recall</b> is the share of the 10 nearest neighbours
              that the picture keeps: a plane has no room for all of them.
            </p>
            <p class="secondary">
              Points <b>moved</b> by their mean distance from where they were, over the radius of the picture.
              The noise floor is the same for vectors that change by 2 % of noise: what is not above it says
              nothing.
            </p>
          </div>
        </div>
      )}
    </Popover>
  );
}
