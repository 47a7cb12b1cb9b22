/** Lines along which points have come, paler the older they are. */
import {
  GLSL3,
  Group,
  InstancedBufferAttribute,
  InstancedBufferGeometry,
  type IUniform,
  LineSegments,
  RawShaderMaterial,
} from 'three';
import { isSomewhere, pointCount } from './extent';
import { TRAIL_FRAGMENT, TRAIL_VERTEX } from './shaders';
import type { CloudData } from './types';

type Uniforms = Readonly<Record<string, IUniform>>;

/** How much of a point's colour the youngest line has. */
const STRONGEST = 0.6;

const USED = ['trails', 'from', 'to', 'dims', 'colour', 'shown', 'selected'] as const;

export class Trails {
  readonly group = new Group();
  readonly #material: RawShaderMaterial;
  #geometries: readonly InstancedBufferGeometry[] = [];
  #held: CloudData | null = null;

  constructor(uniforms: Uniforms) {
    this.#material = materialOf(uniforms);
  }

  take(data: CloudData): void {
    const held = this.#held;
    if (held && USED.every((name) => held[name] === data[name])) return;
    this.#held = data;
    this.#clear();
    if (!data.trails?.length) return;
    this.#geometries = stretchesOf(data, data.trails);
    this.group.add(...this.#geometries.map((geometry) => linesOf(geometry, this.#material)));
  }

  dispose(): void {
    this.#clear();
    this.#material.dispose();
  }

  #clear(): void {
    this.group.clear();
    for (const geometry of this.#geometries) geometry.dispose();
    this.#geometries = [];
  }
}

/** From record to record up to `from`, and from there to where the points are now. */
function stretchesOf(data: CloudData, trails: readonly Float32Array[]): InstancedBufferGeometry[] {
  const { from, to, dims, colour } = data;
  const records = [...trails, from].filter((record) => record.length === from.length);
  const positions = new Map([...records, to].map((record) => [record, perPoint(record, dims)]));
  const colours = perPoint(colour, 4, true);
  return records.map((start, age) => {
    const next = records[age + 1];
    const way = next ? [start, next, next] : [start, from, to];
    const geometry = new InstancedBufferGeometry();
    geometry.setDrawRange(0, 2);
    geometry.instanceCount = pointCount(data);
    for (const [end, record] of way.entries())
      geometry.setAttribute(['start', 'from', 'to'][end]!, positions.get(record)!);
    geometry.setAttribute('colour', colours);
    const strength = (STRONGEST * (age + 1)) / records.length;
    geometry.setAttribute('strength', perPoint(strengthsOf(data, way, strength), 1, true));
    return geometry;
  });
}

const perPoint = (array: Float32Array | Uint8Array, size: number, normalized = false) =>
  new InstancedBufferAttribute(array, size, normalized);

function linesOf(geometry: InstancedBufferGeometry, material: RawShaderMaterial): LineSegments {
  const lines = new LineSegments(geometry, material);
  lines.frustumCulled = false;
  lines.renderOrder = -1;
  return lines;
}

function materialOf(uniforms: Uniforms): RawShaderMaterial {
  return new RawShaderMaterial({
    glslVersion: GLSL3,
    vertexShader: TRAIL_VERTEX,
    fragmentShader: TRAIL_FRAGMENT,
    uniforms,
    premultipliedAlpha: true,
    transparent: true,
    depthTest: false,
    depthWrite: false,
  });
}

/** [N] Of 255, none for points whose line is not wanted, or that are nowhere in one of the records. */
function strengthsOf(data: CloudData, records: readonly Float32Array[], strength: number): Uint8Array {
  const { dims, shown, selected } = data;
  const wanted = selected.some((isSelected) => isSelected !== 0) ? selected : shown;
  const isDrawn = (index: number) =>
    wanted[index] !== 0 && records.every((record) => isSomewhere(record, index * dims, dims));
  return Uint8Array.from({ length: pointCount(data) }, (_, index) =>
    isDrawn(index) ? Math.round(255 * strength) : 0,
  );
}
