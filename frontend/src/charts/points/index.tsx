/** Points of an embedding on their way from one record to another, in two or three dimensions. */
import { effect, useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { CanvasLayer, useSize } from '../canvas';
import { parseColor } from '../color';
import { markPainted } from '../painted';
import type { Size } from '../plot';
import { pageTheme } from '../theme';
import { eyeDistance, projection } from './camera';
import type { Shot } from './cloud';
import { extentBetween, extentOf, pointCount } from './extent';
import { type Place, useGestures } from './gestures';
import { drawOverlay } from './overlay';
import { positionsTable, RESOLUTION } from './picture';
import { lassoed, locator } from './screen';
import type { PointCloudProps } from './types';
import { useCloud } from './useCloud';
import { useFrame } from './useFrame';

export { HOME } from './camera';
export { extentOf } from './extent';
export { toPng } from './picture';
export type { CameraState, CloudData, Dims, Extent, PointCloudProps, Tool } from './types';

export function PointCloud(props: PointCloudProps) {
  const { from, to, dims, mix, view, marked = null, exportRef } = props;
  const root = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const size = useSize(root);
  const theme = pageTheme();
  const { cloud, trouble } = useCloud(canvas);
  const hovered = useSignal<number | null>(null);
  const hasCrosshair = useSignal(false);
  const point = useRef<Place | null>(null);

  const first = useMemo(() => extentOf(from, dims), [from, dims]);
  const last = useMemo(() => (from === to ? first : extentOf(to, dims)), [to, dims, first]);
  const extent = props.extent ?? extentBetween(first, last, mix);
  const shotOf = (box: Size): Shot => ({
    data: props,
    extent,
    matrix: projection(view.peek(), dims, box),
    eye: eyeDistance(view.peek(), dims),
    ...box,
    grey: parseColor(theme.peek().token['cell-missing-mark']),
    ink: parseColor(theme.peek().token.cursor),
    paper: parseColor(theme.peek().token.bg),
  });
  const locate = (box: Size) => locator(props, extent, projection(view.peek(), dims, box), box);
  const isReady = () => cloud.peek() !== null && trouble.peek() === '' && size.peek().width >= 1;

  const draw = useFrame(() => {
    if (!isReady()) return;
    cloud.peek()!.draw(shotOf(size.peek()));
    markPainted();
  });
  const pick = ({ x, y }: Place) => (isReady() ? cloud.peek()!.pick(shotOf(size.peek()), x, y) : null);
  const hover = useFrame(() => {
    const place = point.current;
    hovered.value = place && pick(place);
    hasCrosshair.value = place?.isCrosshair ?? false;
    props.onHover(hovered.peek(), place?.x ?? 0, place?.y ?? 0);
  });

  const { path, handlers } = useGestures({
    dims,
    tool: props.tool,
    view,
    box: () => size.peek(),
    onPoint: (place) => {
      point.current = place;
      hover();
    },
    onClick: (place) => props.onClick?.(pick(place)),
    onLasso: (marks) => props.onLasso(lassoed(marks, props, locate(size.peek()))),
  });

  const { colour, shown, selected, trails } = props;
  useLayoutEffect(draw, [
    draw,
    from,
    to,
    dims,
    mix,
    colour,
    shown,
    selected,
    props.size,
    trails,
    props.extent,
  ]);
  useEffect(
    () =>
      effect(() => {
        for (const source of [size, theme, view, cloud, trouble]) source.value;
        draw();
      }),
    [size, theme, view, cloud, trouble, draw],
  );
  useEffect(() => {
    if (!exportRef) return;
    exportRef.current = {
      name: props.label,
      ...size.peek(),
      draw(painter, width, height) {
        if (!isReady()) return;
        painter.drawImage(
          cloud.peek()!.picture(shotOf({ width, height, ratio: RESOLUTION })),
          0,
          0,
          width,
          height,
        );
        draw();
      },
      table: () => positionsTable(props),
    };
  });

  return (
    <div
      ref={root}
      class="chart"
      style={{ touchAction: 'none', cursor: props.tool === 'lasso' ? 'crosshair' : 'grab' }}
      role="application"
      aria-roledescription="point cloud"
      aria-label={`${props.label}: ${pointCount(props)} points. ${KEYS[dims]}`}
      aria-busy={cloud.value === null && trouble.value === ''}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: one stop of the tab key, moved through with the arrows
      tabIndex={0}
      onBlur={() => {
        hasCrosshair.value = false;
      }}
      {...handlers}
    >
      <canvas ref={canvas} class="chart-layer" />
      <CanvasLayer
        size={size}
        watch={[theme, view, hovered, hasCrosshair, path]}
        inputs={[from, to, mix, dims, marked, props.extent, props.size]}
        draw={(painter, box) => {
          const index = marked ?? hovered.peek();
          const scene = { theme: theme.peek(), size: props.size, path: path.peek() };
          const mark = index === null ? null : locate(box)(index);
          drawOverlay(painter, { ...scene, mark, hasCrosshair: hasCrosshair.peek() }, box);
        }}
      />
      {trouble.value !== '' && (
        <p role="status" style={WORDS}>
          {trouble.value}
        </p>
      )}
    </div>
  );
}

const KEYS = {
  2: 'Arrows move the picture, plus and minus zoom, 0 shows everything, Enter takes the point in the middle.',
  3: 'Arrows turn the picture, with Shift they move it, plus and minus zoom, 0 shows everything, Enter takes the point in the middle.',
} as const;

const WORDS = {
  position: 'absolute',
  inset: 0,
  margin: 0,
  padding: 'var(--s-5)',
  display: 'grid',
  placeContent: 'center',
  textAlign: 'center',
  color: 'var(--text-2)',
  background: 'var(--bg)',
} as const;
