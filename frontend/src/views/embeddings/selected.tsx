/** The points that were picked: their thumbnails, a table, and a file. */
import { useMemo } from 'preact/hooks';
import { DataTable } from '../../charts/DataTable';
import { saveCsv } from '../../charts/exports';
import { areLinked, type Scene, scenes } from '../../state/embeddings';
import { picked, pickedIn } from '../../state/embeddings-marks';
import { withThumbnails } from '../../state/embeddings-thumbnails';
import { Close } from '../icons';
import { plural } from '../words';
import { pointWords } from './point-words';
import { pointsTable } from './points-table';
import { Thumbnail, useThumbnails } from './thumbnail';

/** Thumbnails that are drawn. */
const MOST = 48;

/** The scene whose points are picked, where they are among those of one. */
export function pickedScene(): Scene | null {
  return scenes.value.find((_, index) => pickedIn(index).length > 0) ?? null;
}

export function Selected({ scene }: { scene: Scene }) {
  const points = pickedIn(scenes.value.indexOf(scene));
  const { value } = scenes;
  const linked = areLinked.value ? value : [scene];
  const table = useMemo(() => pointsTable(linked, points), [value, areLinked.value, points]);
  const title = `${plural(points.length, 'selected point')}`;
  return (
    <section class="selected-points" aria-label="Selected points">
      <header class="figure-head">
        <h3>{title}</h3>
        <span class="space" />
        <button
          type="button"
          class="control slim"
          onClick={() =>
            void saveCsv({ name: `${title} of ${scene.side.embedding.name}`, table: () => table })
          }
        >
          Save as CSV
        </button>
        <button
          type="button"
          class="icon-button small"
          aria-label="Clear the selection"
          title="Clear the selection"
          onClick={() => {
            picked.value = null;
          }}
        >
          <Close />
        </button>
      </header>
      {withThumbnails.value && scene.set.thumbnails !== null && <Thumbnails scene={scene} points={points} />}
      <div class="selected-table">
        <DataTable title="Selected points" table={table} />
      </div>
    </section>
  );
}

function Thumbnails({ scene, points }: { scene: Scene; points: Uint32Array }) {
  const drawn = [...points.subarray(0, MOST)];
  useThumbnails(scene, drawn);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must take the keys that scroll
    <ul class="selected-thumbnails" aria-label="Thumbnails of the first selected points" tabIndex={0}>
      {drawn.map((point) => (
        <li key={point} title={pointWords(scene, point)}>
          <Thumbnail scene={scene} index={point} />
        </li>
      ))}
    </ul>
  );
}
