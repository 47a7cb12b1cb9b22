/** What is known of points, as a table. */
import { formatCount } from '../../charts/numbers';
import type { Entry, Table } from '../../charts/types';
import type { Scene } from '../../state/embeddings';
import { labelWords, predictionWords } from '../../state/embeddings-groups';

const AXES = ['x', 'y', 'z'];

/**
 * One line a point: its label, what the model predicts, and where it is.
 *
 * @param scenes The pictures that have these points; what differs between them has a column for each.
 * @param points Which ones; null for all.
 */
export function pointsTable(scenes: readonly Scene[], points: Uint32Array | null): Table {
  const parts = scenes.map((scene) =>
    partOf(scene, scenes.length > 1 ? `, ${sceneName(scene, scenes)}` : ''),
  );
  const [own] = scenes;
  const hasLabels = own !== undefined && own.labels !== null;
  return {
    columns: ['point', ...(hasLabels ? ['label'] : []), ...parts.flatMap(({ columns }) => columns)],
    rowCount: points?.length ?? own?.points.count ?? 0,
    row: (index) => {
      const point = points?.[index] ?? index;
      return [point, ...(hasLabels ? [labelOf(own, point)] : []), ...parts.flatMap(({ row }) => row(point))];
    },
  };
}

/** A label that is a number stays one. */
function labelOf(scene: Scene, point: number): Entry {
  const value = scene.labels?.[point] ?? Number.NaN;
  if (Number.isNaN(value)) return null;
  return scene.set.labels === 'numbers' && Number.isFinite(value) ? value : labelWords(scene, point);
}

interface Part {
  readonly columns: readonly string[];
  readonly row: (point: number) => readonly Entry[];
}

function partOf(scene: Scene, suffix: string): Part {
  const { positions, dims, predictions } = scene.points;
  const axes = AXES.slice(0, dims);
  const names = [...(predictions === null ? [] : ['prediction']), ...axes];
  return {
    columns: names.map((name) => `${name}${suffix}`),
    row: (point) => [
      ...(predictions === null ? [] : [predictionWords(scene, point) || null]),
      ...axes.map((_, axis) => finite(positions[point * dims + axis])),
    ],
  };
}

const finite = (value: number | undefined): Entry =>
  value !== undefined && Number.isFinite(value) ? value : null;

/** What tells a scene from the others, such as "fc1, step 40". */
export function sceneName({ side }: Scene, scenes: readonly Scene[]): string {
  const differs = (of: (scene: Scene) => string) => scenes.some((one) => of(one) !== of(scenes[0]!));
  const parts = [
    ...(differs((one) => one.side.run) ? [side.run] : []),
    ...(differs((one) => one.side.embedding.name) ? [side.embedding.name] : []),
    `step ${formatCount(side.step)}`,
  ];
  return parts.join(', ');
}
