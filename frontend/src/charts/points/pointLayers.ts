/** The points as they are drawn: grey ones below, then those that are shown, then those that are selected. */
import { GLSL3, Group, type IUniform, NoBlending, NormalBlending, Points, RawShaderMaterial } from 'three';
import { PointBuffers } from './pointBuffers';
import { LAYERS, POINT_FRAGMENT, POINT_VERTEX } from './shaders';
import type { CloudData, Dims } from './types';

type Uniforms = Readonly<Record<string, IUniform>>;
type Layer = Points<PointBuffers['geometry'], RawShaderMaterial>;

export class PointLayers {
  readonly drawn = new Group();
  /** The same points, each in the colour that is its code. */
  readonly picked = new Group();
  readonly #buffers = new PointBuffers();
  readonly #layers: readonly Layer[];
  readonly #solid = { value: false };

  constructor(shared: Uniforms) {
    const uniforms = { ...shared, solid: this.#solid };
    const layersOf = (picking: boolean) =>
      Object.values(LAYERS).map((layer) => layerOf(this.#buffers, layer, picking, uniforms));
    const [drawn, picked] = [layersOf(false), layersOf(true)];
    this.drawn.add(...drawn);
    this.picked.add(...picked);
    this.#layers = [...drawn, ...picked];
  }

  take(data: CloudData): void {
    if (!this.#buffers.take(data)) return;
    this.#solid.value = data.dims === 3;
    for (const layer of this.#layers) {
      setDepth(layer, data.dims);
      layer.visible = this.#buffers.layers.has(layer.renderOrder);
    }
  }

  dispose(): void {
    this.#buffers.geometry.dispose();
    for (const { material } of this.#layers) material.dispose();
  }
}

function layerOf({ geometry }: PointBuffers, layer: number, picking: boolean, uniforms: Uniforms): Layer {
  const material = new RawShaderMaterial({
    glslVersion: GLSL3,
    vertexShader: POINT_VERTEX,
    fragmentShader: POINT_FRAGMENT,
    uniforms: { ...uniforms, layer: { value: layer }, picking: { value: picking } },
    blending: picking ? NoBlending : NormalBlending,
    premultipliedAlpha: true,
    transparent: true,
  });
  const points = new Points(geometry, material);
  points.renderOrder = layer;
  points.frustumCulled = false;
  return points;
}

/** In three dimensions what is near hides what is far; grey ones hide nothing. In two the order of the points decides. */
function setDepth({ material, renderOrder }: Layer, dims: Dims): void {
  const isSolid = dims === 3 && renderOrder !== LAYERS.grey;
  material.depthTest = isSolid;
  material.depthWrite = isSolid;
}
