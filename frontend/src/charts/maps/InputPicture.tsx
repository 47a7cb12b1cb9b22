/** An input as a picture, and a map over it. */
import { useEffect, useRef } from 'preact/hooks';
import { pageTheme } from '../theme';
import { paintOnto } from './images';
import { type InputPictures, inputPixels } from './inputPixels';
import { type MapPicture, type MapScale, stateOf } from './types';

export interface InputPictureProps {
  readonly pictures: InputPictures;
  readonly index: number;
  /** What lies over it, how it is coloured, and how little shows through. */
  readonly over?: { readonly map: MapPicture; readonly scale: MapScale; readonly index: number } | null;
  readonly opacity?: number;
}

export function InputPicture({ pictures, index, over = null, opacity = 1 }: InputPictureProps) {
  const input = useRef<HTMLCanvasElement>(null);
  const upper = useRef<HTMLCanvasElement>(null);
  const theme = pageTheme().value;
  const { width, height } = pictures;
  useEffect(() => {
    const context = input.current?.getContext('2d');
    if (context && index < pictures.count && width * height > 0)
      context.putImageData(new ImageData(inputPixels(pictures, index), width, height), 0, 0);
  }, [pictures, index]);
  const domain = over?.scale.domain(over.index) ?? null;
  const drawn = over !== null && domain !== null && stateOf(over.map) === 'varies';
  useEffect(() => {
    if (!drawn || upper.current === null) return;
    const { map, scale } = over;
    const size = { width: map.width, height: map.height };
    paintOnto(upper.current, { map, domain, signed: scale.signed, theme, ...size });
  }, [drawn, over?.map, over?.index, domain?.[0], domain?.[1], theme]);
  return (
    <span class="input-picture" style={{ aspectRatio: `${width} / ${height}` }}>
      <canvas ref={input} width={width} height={height} />
      {drawn && <canvas ref={upper} style={{ opacity }} />}
    </span>
  );
}
