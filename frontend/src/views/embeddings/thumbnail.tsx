/** The small picture of a point. */
import { useEffect, useRef } from 'preact/hooks';
import { InputPicture } from '../../charts/maps/InputPicture';
import type { ThumbnailPage } from '../../data/embeddings';
import type { Scene } from '../../state/embeddings';
import { thumbnailQuery, thumbnailsStore, wantThumbnails } from '../../state/embeddings-thumbnails';

/** Ask for the pages that hold the thumbnails of these points. */
export function useThumbnails(scene: Scene, points: readonly number[]): void {
  const owner = useRef({});
  const key = points.join();
  useEffect(() => {
    const queries = points.map((point) => thumbnailQuery(scene, point)).filter((query) => query !== null);
    wantThumbnails(owner.current, queries);
  }, [scene, key]);
  useEffect(() => () => wantThumbnails(owner.current, []), []);
}

export function Thumbnail({ scene, index }: { scene: Scene; index: number }) {
  void thumbnailsStore.arrivals.value;
  const query = thumbnailQuery(scene, index);
  if (query === null) return null;
  const page = thumbnailsStore.get(query);
  if (page === undefined) return <Waiting scene={scene} />;
  return <InputPicture pictures={opaque(page)} index={index - page.first} />;
}

function Waiting({ scene: { set } }: { scene: Scene }) {
  const { width, height } = set.thumbnails!;
  return <span class="input-picture" style={{ aspectRatio: `${width} / ${height}` }} />;
}

const known = new WeakMap<ThumbnailPage, ThumbnailPage>();

/** A page without the channel of opacity, which a picture on paper does not need. */
function opaque(page: ThumbnailPage): ThumbnailPage {
  if (page.channels !== 4) return page;
  const held = known.get(page) ?? { ...page, channels: 3, pixels: onPaper(page.pixels) };
  known.set(page, held);
  return held;
}

/** Red, green, blue of pixels with opacity, as they look on white. */
export function onPaper(pixels: Uint8Array): Uint8Array {
  return Uint8Array.from({ length: (pixels.length / 4) * 3 }, (_, place) => {
    const start = 4 * Math.floor(place / 3);
    const share = pixels[start + 3]! / 255;
    return Math.round(pixels[start + (place % 3)]! * share + 255 * (1 - share));
  });
}
