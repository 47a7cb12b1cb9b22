/** A module's maps as tiles, in one pane or in two that scroll together. */
import { useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { CanvasLayer, useSize } from '../canvas';
import { write } from '../paint';
import { markPainted } from '../painted';
import { pageTheme } from '../theme';
import type { ChartProps, Painter } from '../types';
import { drawTiles, TITLES, type TileScene } from './drawTiles';
import { MapImages } from './images';
import { layoutTiles, type TileSize, tileAt, tilePlace, tilesInView } from './layout';
import type { MapPane, MapScale } from './types';
import { mapsTable, mapWords } from './words';

export interface MapGridProps extends ChartProps {
  readonly panes: readonly MapPane[];
  /** Which maps, in this order. */
  readonly order: readonly number[];
  readonly scale: MapScale;
  readonly size: TileSize;
  /** What a map is: "channel". */
  readonly noun: string;
  /** The map that is selected. */
  readonly cursor: number;
  readonly onCursor: (index: number) => void;
  /** Asked to show the selected map large. */
  readonly onOpen: () => void;
  /** Asked to show it large no longer; says whether it was. */
  readonly onClose: () => boolean;
  /** Told which maps are in sight. */
  readonly onView: (maps: readonly number[]) => void;
  /** What stands below an exported picture. */
  readonly caption: string;
  /** What to say where no map is shown. */
  readonly empty: string;
}

/** Around the tiles, so that the frame of the cursor has room. */
const MARGIN = 4;
/** A picture of more than this shows what is in sight instead of everything. */
const LONGEST = 6000;
const CAPTION = 24;

export function MapGrid(props: MapGridProps) {
  const { panes, order, scale, cursor } = props;
  const root = useRef<HTMLDivElement>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const size = useSize(root);
  const theme = pageTheme();
  const images = useMemo(() => new MapImages(), []);
  const scroll = useSignal(0);
  const top = panes.length > 1 ? TITLES : 0;
  const { width, height } = size.value;
  const shown = panes[0];
  const aspect = shown ? shown.width / Math.max(1, shown.height) : 1;
  const layout = useMemo(
    () =>
      layoutTiles({
        width: width - 2 * MARGIN,
        height: height - top - 2 * MARGIN,
        panes: panes.length,
        tiles: order.length,
        aspect,
        size: props.size,
      }),
    [width, height, top, panes.length, order.length, aspect, props.size],
  );
  const content = layout.content + 2 * MARGIN;
  const room = Math.max(0, height - top);
  const farthest = Math.max(0, content - room);
  const at = order.indexOf(cursor);

  const sceneAt = (offset: number): TileScene => ({
    theme: theme.value,
    layout: { ...layout, panes: layout.panes.map((left) => left + MARGIN) },
    scroll: offset - MARGIN,
    top,
    panes,
    order,
    scale,
    cursor: at < 0 ? -1 : cursor,
    images,
  });

  useEffect(() => {
    const [from, to] = tilesInView(layout, Math.min(farthest, scroll.value), room);
    props.onView(width === 0 ? [] : order.slice(from, to));
  }, [layout, order, farthest, room, width, scroll.value]);

  const reveal = (tile: number) => {
    const [, y] = tilePlace(layout, 0, tile);
    const wanted = Math.min(y, Math.max(scroll.peek(), y + layout.pitchY + 2 * MARGIN - room));
    if (scroller.current) scroller.current.scrollTop = Math.min(farthest, Math.max(0, wanted));
  };
  const select = (tile: number) => {
    const index = order[Math.min(order.length - 1, Math.max(0, tile))];
    if (index === undefined) return;
    props.onCursor(index);
    reveal(order.indexOf(index));
  };
  const locate = (event: MouseEvent) => {
    const box = root.current!.getBoundingClientRect();
    const y = event.clientY - box.top - top;
    return y < 0 ? -1 : tileAt(layout, event.clientX - box.left - MARGIN, y + scroll.peek() - MARGIN);
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const pageful = Math.max(1, Math.floor(room / layout.pitchY)) * layout.columns;
    const by: Record<string, number> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -layout.columns,
      ArrowDown: layout.columns,
      PageUp: -pageful,
      PageDown: pageful,
      Home: -order.length,
      End: order.length,
    };
    const moved = by[event.key];
    if (moved !== undefined) select(at < 0 ? 0 : at + moved);
    else if (event.key === 'Enter') props.onOpen();
    else if (event.key !== 'Escape' || !props.onClose()) return;
    event.preventDefault();
    event.stopPropagation();
  };

  const words = at >= 0 && shown ? mapWords(panes, props.noun, cursor) : '';
  const focused = useRef(false);
  useEffect(() => {
    if (focused.current && words !== '') props.onReadout?.(words);
  }, [words]);

  useEffect(() => {
    if (!props.exportRef) return;
    const whole = content <= LONGEST;
    const body = whole ? content : room;
    props.exportRef.current = {
      name: props.title,
      width,
      height: top + body + CAPTION,
      draw(painter: Painter, wide: number) {
        const offset = whole ? 0 : scroll.peek();
        drawTiles(
          painter,
          { ...sceneAt(offset), cursor: -1, images: new MapImages() },
          {
            width: wide,
            height: top + body,
            ratio: 2,
          },
        );
        const color = theme.value.token['text-2'];
        write(painter, theme.value, props.caption, 0, top + body + CAPTION / 2, { color });
      },
      table: () => mapsTable(panes, order),
    };
  });

  return (
    <div
      ref={root}
      class="chart map-grid"
      role="application"
      aria-roledescription="grid of maps"
      aria-label={`${props.title}: ${order.length} maps. Arrows move, Enter shows one large.`}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: one stop of the tab key, moved through with the arrows
      tabIndex={0}
      onKeyDown={onKeyDown}
      onFocusIn={() => {
        focused.current = true;
        if (words !== '') props.onReadout?.(words);
      }}
      onFocusOut={() => {
        focused.current = false;
      }}
      onClick={(event) => {
        const tile = locate(event);
        root.current!.focus({ preventScroll: true });
        if (tile < 0) return;
        props.onCursor(order[tile]!);
        props.onOpen();
      }}
      onPointerMove={(event) => {
        const tile = locate(event);
        root.current!.style.cursor = tile < 0 ? '' : 'zoom-in';
        root.current!.title = tile < 0 ? '' : mapWords(panes, props.noun, order[tile]!);
      }}
    >
      <CanvasLayer
        size={size}
        watch={[theme, scroll]}
        inputs={[layout, panes, order, scale, cursor, top]}
        draw={(painter, box) => {
          drawTiles(painter, sceneAt(Math.min(farthest, scroll.peek())), box);
          if (order.some((index) => shown?.map(index))) markPainted();
        }}
      />
      <div
        ref={scroller}
        class="chart-scroller"
        style={{ top: `${top}px` }}
        tabIndex={-1}
        onScroll={({ currentTarget }) => {
          scroll.value = currentTarget.scrollTop;
        }}
      >
        <div style={{ height: `${content}px` }} />
      </div>
      {order.length === 0 && <p class="map-grid-empty muted">{props.empty}</p>}
    </div>
  );
}
