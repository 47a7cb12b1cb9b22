/** One map large enough to point at its single values. */
import { useSignal } from '@preact/signals';
import { useMemo, useRef } from 'preact/hooks';
import { CanvasLayer, useSize } from '../canvas';
import { hatch } from '../paint';
import type { Size } from '../plot';
import { pageTheme, type Theme } from '../theme';
import type { Painter } from '../types';
import { drawState } from './drawTiles';
import { MapImages } from './images';
import { type MapPane, type MapPicture, type MapScale, stateOf } from './types';
import { rangeWords, valueWords } from './words';

export interface MapLargeProps {
  readonly title: string;
  readonly pane: MapPane;
  readonly index: number;
  readonly scale: MapScale;
  /** What the two sides are: "query" and "key". */
  readonly axes: { readonly row: string; readonly column: string };
  readonly onReadout: (words: string) => void;
}

interface Place {
  readonly x: number;
  readonly y: number;
}

export function MapLarge({ title, pane, index, scale, axes, onReadout }: MapLargeProps) {
  const root = useRef<HTMLDivElement>(null);
  const size = useSize(root);
  const theme = pageTheme();
  const images = useMemo(() => new MapImages(), []);
  const at = useSignal<Place | null>(null);
  const map = index < pane.count ? pane.map(index) : null;
  const words = map === null ? pane.trouble || 'not loaded yet' : at.value && placeWords(map, at.value, axes);

  const move = (place: Place) => {
    if (map === null) return;
    at.value = {
      x: Math.min(map.width - 1, Math.max(0, place.x)),
      y: Math.min(map.height - 1, Math.max(0, place.y)),
    };
    onReadout(placeWords(map, at.value, axes));
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    move(at.value === null ? { x: 0, y: 0 } : { x: at.value.x + by[0]!, y: at.value.y + by[1]! });
  };

  return (
    <div class="map-large">
      <div
        ref={root}
        class="chart"
        style={{ '--aspect': pane.width / Math.max(1, pane.height) }}
        role="application"
        aria-roledescription="map"
        aria-label={`${title}, ${pane.height} rows of ${pane.width} values. Arrows move over them.`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: one stop of the tab key, moved through with the arrows
        tabIndex={0}
        onKeyDown={onKeyDown}
        onPointerMove={(event) => {
          const box = root.current!.getBoundingClientRect();
          move({
            x: Math.floor(((event.clientX - box.left) / box.width) * pane.width),
            y: Math.floor(((event.clientY - box.top) / box.height) * pane.height),
          });
        }}
        onPointerLeave={() => {
          at.value = null;
        }}
      >
        <CanvasLayer
          size={size}
          watch={[theme, at]}
          draw={(painter, box) => {
            drawLarge(painter, theme.value, map, index, scale, images, box);
            if (map !== null && at.value !== null) drawPlace(painter, theme.value, map, at.value, box);
          }}
        />
      </div>
      <p class="map-large-value">{words ?? <span class="muted">Point at a value to read it.</span>}</p>
    </div>
  );
}

function drawLarge(
  painter: Painter,
  theme: Theme,
  map: MapPicture | null,
  index: number,
  scale: MapScale,
  images: MapImages,
  { width, height, ratio }: Size,
): void {
  const domain = scale.domain(index);
  if (map === null) hatch(painter, theme, 0, 0, width, height);
  else if (stateOf(map) === 'varies' && domain !== null) {
    const pixels = { width: Math.round(width * ratio), height: Math.round(height * ratio) };
    const image = images.at('', { map, domain, signed: scale.signed, theme, ...pixels });
    painter.drawImage(image, 0, 0, width, height);
  } else drawState(painter, theme, stateOf(map), map, 0, 0, { width, height });
}

/** A frame around the value that is pointed at, seen on any colour. */
function drawPlace(painter: Painter, theme: Theme, map: MapPicture, { x, y }: Place, size: Size): void {
  const [wide, high] = [size.width / map.width, size.height / map.height];
  for (const [color, lineWidth] of [
    [theme.token['cursor-halo'], 4],
    [theme.token.cursor, 1.5],
  ] as const) {
    painter.strokeStyle = color;
    painter.lineWidth = lineWidth;
    painter.setLineDash([]);
    painter.strokeRect(x * wide, y * high, wide, high);
  }
}

/** "row 3, column 5: 0.82", or what is said of a map that has no values. */
function placeWords(map: MapPicture, at: Place, { row, column }: MapLargeProps['axes']): string {
  if (stateOf(map) === 'nonfinite' || at.x >= map.width || at.y >= map.height) return rangeWords(map);
  return `${row} ${at.y}, ${column} ${at.x}: ${valueWords(map, at.x, at.y)}`;
}
