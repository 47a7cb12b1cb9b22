/** Clouds of points: classes in two and three dimensions, a selection, grey ones, points that are nowhere, one picture for two clouds. */

import { signal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { parseColor } from '../../color';
import { type CameraState, type Dims, HOME, PointCloud, type PointCloudProps, type Tool } from '../../points';
import type { Exportable } from '../../types';
import { random } from '../data';
import { Box } from '../linked';

const query = new URLSearchParams(location.search);
const COUNT = Number(query.get('points') ?? 2000);
const COLORS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9'].map(parseColor);

/** Clusters that drift apart from one record to the next. */
function record(dims: Dims, spread: number): Float32Array {
  const uniform = random(11);
  const noise = () => uniform() + uniform() + uniform() - 1.5;
  const positions = new Float32Array(COUNT * dims);
  for (let index = 0; index < COUNT; index++) {
    const angle = ((index % COLORS.length) / COLORS.length) * 2 * Math.PI;
    const middle = [Math.cos(angle), Math.sin(angle), Math.sin(2 * angle)];
    for (let axis = 0; axis < dims; axis++)
      positions[index * dims + axis] = 40 + 10 * (spread * middle[axis]! + 0.5 * noise());
  }
  return positions;
}

function cloudOf(
  dims: Dims,
): Pick<PointCloudProps, 'from' | 'to' | 'dims' | 'colour' | 'shown' | 'selected'> {
  const [from, to] = [record(dims, 0.4), record(dims, 1.6)];
  for (let index = 0; index < COUNT; index += 97) from.fill(Number.NaN, index * dims, (index + 1) * dims);
  const colour = new Uint8Array(COUNT * 4).fill(255);
  for (let index = 0; index < COUNT; index++) colour.set(COLORS[index % COLORS.length]!, index * 4);
  return {
    from,
    to,
    dims,
    colour,
    shown: Uint8Array.from({ length: COUNT }, (_, index) => (index % COLORS.length === 4 ? 0 : 1)),
    selected: new Uint8Array(COUNT),
  };
}

/** What the driver of the harness sets and reads. */
const state = {
  mix: signal(1),
  tool: signal<Tool>('pan'),
  trails: signal(query.has('trails')),
  hovered: signal<readonly [index: number | null, x: number, y: number]>([null, 0, 0]),
  clicked: signal<number | null>(null),
  lassoed: signal<readonly number[]>([]),
  size: signal(Number(query.get('size') ?? 5)),
  view: { 2: signal<CameraState>(HOME), 3: signal<CameraState>(HOME) },
  clouds: { 2: cloudOf(2), 3: cloudOf(3) },
  charts: { 2: { current: null as Exportable | null }, 3: { current: null as Exportable | null } },
};
Object.assign(window, { points: state });

function One({ dims, height }: { dims: Dims; height: number }) {
  const { lassoed, hovered, clicked, mix, tool, trails, size } = state;
  const cloud = state.clouds[dims];
  const selected = useMemo(() => {
    const marks = new Uint8Array(COUNT);
    for (const index of lassoed.value) marks[index] = 1;
    return marks;
  }, [lassoed.value]);
  const past = useMemo(() => [record(dims, 0.1), record(dims, 0.25)], [dims]);
  return (
    <Box height={height}>
      <PointCloud
        {...cloud}
        selected={selected}
        {...(trails.value && { trails: past })}
        mix={mix.value}
        size={size.value}
        label={`Points in ${dims} dimensions`}
        tool={tool.value}
        marked={hovered.value[0]}
        view={state.view[dims]}
        exportRef={state.charts[dims]}
        onHover={(...at) => {
          hovered.value = at;
        }}
        onClick={(index) => {
          clicked.value = index;
        }}
        onLasso={(indices) => {
          lassoed.value = [...indices];
        }}
      />
    </Box>
  );
}

export function Clouds() {
  const dims = query.get('dims');
  if (dims !== null) return <One dims={dims === '3' ? 3 : 2} height={640} />;
  return (
    <div class="row">
      <One dims={2} height={640} />
      <One dims={3} height={640} />
    </div>
  );
}
