/** One picture: the points of an embedding at a step, and how far they can be trusted. */
import { type ReadonlySignal, useComputed } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { CanvasLayer, useSize } from '../../charts/canvas';
import { formatCount } from '../../charts/numbers';
import type { Size } from '../../charts/plot';
import { extentBetween } from '../../charts/points/extent';
import { type Dims, extentOf, PointCloud } from '../../charts/points/index';
import { pageTheme } from '../../charts/theme';
import type { Exportable } from '../../charts/types';
import { areLinked, type Scene, scenes } from '../../state/embeddings';
import { groups, pick, pickedMasks, pointed, shown, togglePoint } from '../../state/embeddings-marks';
import { trailsOf } from '../../state/embeddings-trails';
import { type ExportRef, Figure } from '../figure';
import { say } from '../readout';
import { colouring } from './colouring';
import { areNamesWritten, drawNames, middles } from './group-names';
import { HoverCard } from './hover-card';
import { pointSize, tool, views, withNames } from './looks';
import { pointWords } from './point-words';
import { pointsTable } from './points-table';
import { TrustLine } from './trust';
import { useMotion } from './use-motion';
import { layoutWords } from './words';

export function Cloud({ scene, index, title }: { scene: Scene; index: number; title: string }) {
  const { side } = scene;
  const layout = side.embedding.layouts[side.layout]!;
  return (
    <Figure
      title={title}
      class="cloud"
      heading={
        <>
          <h3 class="clip">{title}</h3>
          <span class="caption clip">
            {layoutWords(layout)} · {formatCount(scene.points.count)} points
          </span>
        </>
      }
    >
      {(exportRef) => (
        <div class="cloud-body">
          <Picture scene={scene} index={index} title={title} exportRef={exportRef} />
          <TrustLine scene={scene} />
        </div>
      )}
    </Figure>
  );
}

interface PictureProps {
  readonly scene: Scene;
  /** Of the scene among those that are drawn. */
  readonly index: number;
  readonly title: string;
  readonly exportRef: ExportRef;
}

function Picture({ scene, index, title, exportRef }: PictureProps) {
  const { points } = scene;
  const dims = points.dims as Dims;
  const { from, to, mix } = useMotion(points);
  const first = useMemo(() => extentOf(from, dims), [from, dims]);
  const last = useMemo(() => extentOf(to, dims), [to, dims]);
  const extent = extentBetween(first, last, mix);
  const trails = useTrails(scene);
  const marked = useMarked(scene);
  const names = useNames(index, { from, to, dims });
  const inner = useRef<Exportable | null>(null);
  const root = useRef<HTMLDivElement>(null);
  const size = useSize(root);
  const theme = pageTheme();
  const view = views[dims];
  const draw: Exportable['draw'] = (painter, width, height) => {
    if (names === null) return;
    const scene = { ...names, theme: theme.peek(), mix, dims, extent, view: view.peek() };
    drawNames(painter, scene, { width, height });
  };
  useExport(exportRef, inner, title, draw, scene);
  return (
    <div ref={root} class="cloud-picture">
      <PointCloud
        label={title}
        from={from}
        to={to}
        dims={dims}
        mix={mix}
        extent={extent}
        colour={colouring.value.points[index]!}
        shown={shown.value[index]!}
        selected={pickedMasks.value[index]!}
        size={pointSize(points.count)}
        trails={trails}
        marked={marked}
        tool={tool.value}
        view={view}
        exportRef={inner}
        onHover={(point, x, y) => {
          pointed.value = point === null ? null : { slot: scene.slot, index: point, x, y };
          if (point !== null) say(pointWords(scene, point));
        }}
        onClick={(point) => {
          if (point !== null) togglePoint(index, point);
        }}
        onLasso={(held) => pick(scene, held)}
      />
      <div class="cloud-names" aria-hidden="true">
        <CanvasLayer
          size={size}
          watch={[theme, view]}
          draw={(painter, { width, height }) => draw(painter, width, height)}
        />
      </div>
      <Hovered scene={scene} size={size} />
    </div>
  );
}

/** By itself, so that the points are not drawn again for it. */
function Hovered({ scene, size }: { scene: Scene; size: ReadonlySignal<Size> }) {
  const at = pointed.value;
  return at?.slot === scene.slot && at.index < scene.points.count ? (
    <HoverCard scene={scene} at={at} size={size.value} />
  ) : null;
}

/** The trails of a scene, the same list while they are the same. */
function useTrails(scene: Scene): readonly Float32Array[] {
  const held = useRef<readonly Float32Array[]>([]);
  const trails = trailsOf(scene);
  const same = trails.length === held.current.length && trails.every((one, at) => one === held.current[at]);
  if (!same) held.current = trails;
  return held.current;
}

/** The point that is pointed at in the other picture. */
function useMarked(scene: Scene): number | null {
  return useComputed(() => {
    const at = pointed.value;
    return at !== null && areLinked.value && at.slot !== scene.slot ? at.index : null;
  }).value;
}

interface Ends {
  readonly from: Float32Array;
  readonly to: Float32Array;
  readonly dims: Dims;
}

/** Names of the groups and where they stand at both ends of a motion; null where none are written. */
function useNames(index: number, { from, to, dims }: Ends) {
  const { names, codes } = groups.value;
  const own = codes[index]!;
  const mask = shown.value[index]!;
  const isWritten = withNames.value && areNamesWritten.value;
  const middleOf = (positions: Float32Array) =>
    isWritten ? middles(positions, dims, own, mask, names.length) : null;
  const first = useMemo(() => middleOf(from), [isWritten, from, own, mask]);
  const last = useMemo(() => (from === to ? first : middleOf(to)), [isWritten, to, own, mask, first]);
  return first === null || last === null ? null : { names, from: first, to: last };
}

/** What is saved: the picture with its names, and a table of what is known of each point. */
function useExport(
  exportRef: ExportRef,
  inner: ExportRef,
  name: string,
  drawOver: Exportable['draw'],
  scene: Scene,
): void {
  useEffect(() => {
    exportRef.current = {
      name,
      get width() {
        return inner.current?.width ?? 0;
      },
      get height() {
        return inner.current?.height ?? 0;
      },
      draw(painter, width, height) {
        inner.current?.draw(painter, width, height);
        drawOver(painter, width, height);
      },
      table: () => pointsTable(scenes.value.includes(scene) ? [scene] : [], null),
    };
  });
}
