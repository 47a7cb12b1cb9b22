/** What is known of the point under the pointer, beside it. */
import { formatCount } from '../../charts/numbers';
import type { Scene } from '../../state/embeddings';
import { labelWords, predictionWords } from '../../state/embeddings-groups';
import type { Pointed } from '../../state/embeddings-marks';
import { withThumbnails } from '../../state/embeddings-thumbnails';
import { Thumbnail, useThumbnails } from './thumbnail';

/** Room that the card is given before it moves to the other side of the point. */
const WIDTH = 180;
const HEIGHT = 150;
const GAP = 14;

interface HoverCardProps {
  readonly scene: Scene;
  readonly at: Pointed;
  readonly size: { readonly width: number; readonly height: number };
}

export function HoverCard({ scene, at, size }: HoverCardProps) {
  const hasThumbnail = withThumbnails.value && scene.set.thumbnails !== null;
  useThumbnails(scene, hasThumbnail ? [at.index] : []);
  const label = labelWords(scene, at.index);
  const predicted = predictionWords(scene, at.index);
  const place = {
    ...(at.x + GAP + WIDTH > size.width ? { right: size.width - at.x + GAP } : { left: at.x + GAP }),
    ...(at.y + GAP + HEIGHT > size.height ? { bottom: size.height - at.y + GAP } : { top: at.y + GAP }),
  };
  const style = Object.fromEntries(Object.entries(place).map(([edge, pixels]) => [edge, `${pixels}px`]));
  return (
    <div class="hover-card" style={style} aria-hidden="true">
      {hasThumbnail && <Thumbnail scene={scene} index={at.index} />}
      <p>
        {label !== '' && <b class="clip">{label}</b>}
        {predicted !== '' && <span class="clip">predicted {predicted}</span>}
        <span class="muted">point {formatCount(at.index)}</span>
      </p>
    </div>
  );
}
