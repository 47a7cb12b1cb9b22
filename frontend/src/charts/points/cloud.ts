/** The points on the graphics processor. Loaded with three.js when a cloud is first shown; nothing else imports it. */
import { Camera, Matrix4, Scene, Vector3, WebGLRenderer, WebGLRenderTarget } from 'three';
import type { Rgb } from '../color';
import { around, nearestCode, SIDE } from './picking';
import { PointLayers } from './pointLayers';
import { Trails } from './trails';
import type { CloudData, Extent } from './types';

/** All that one drawing depends on. */
export interface Shot {
  readonly data: CloudData;
  readonly extent: Extent;
  /** From units to clip coordinates, see `projection`. */
  readonly matrix: Float32Array;
  /** See `eyeDistance`. */
  readonly eye: number;
  /** In CSS pixels. */
  readonly width: number;
  readonly height: number;
  /** Pixels to one of CSS. */
  readonly ratio: number;
  /** Colours of what is grey, of rings, and of the space between a ring and its point. */
  readonly grey: Rgb;
  readonly ink: Rgb;
  readonly paper: Rgb;
}

const sharedUniforms = () => ({
  matrix: { value: new Matrix4() },
  centre: { value: new Vector3() },
  radius: { value: 1 },
  between: { value: 0 },
  eye: { value: 1 },
  size: { value: 1 },
  ratio: { value: 1 },
  grey: { value: new Vector3() },
  ink: { value: new Vector3() },
  paper: { value: new Vector3() },
});

export class Cloud {
  readonly #renderer: WebGLRenderer;
  readonly #scene = new Scene();
  readonly #ids = new Scene();
  // The shaders place points by a matrix of ours; three.js only wants some camera.
  readonly #camera = new Camera();
  readonly #uniforms = sharedUniforms();
  readonly #layers = new PointLayers(this.#uniforms);
  readonly #trails = new Trails(this.#uniforms);
  readonly #target = new WebGLRenderTarget(SIDE, SIDE);
  readonly #found = new Uint8Array(SIDE * SIDE * 4);

  constructor(canvas: HTMLCanvasElement, context: WebGL2RenderingContext) {
    this.#renderer = new WebGLRenderer({ canvas, context });
    this.#renderer.setClearColor(0, 0);
    this.#scene.add(this.#trails.group, this.#layers.drawn);
    this.#ids.add(this.#layers.picked);
  }

  draw(shot: Shot): void {
    this.#take(shot);
    this.#resize(Math.round(shot.width * shot.ratio), Math.round(shot.height * shot.ratio));
    this.#renderer.render(this.#scene, this.#camera);
  }

  /** The point that is seen at a place, in CSS pixels, or the nearest one within a few pixels; null without one. */
  pick(shot: Shot, x: number, y: number): number | null {
    this.#take(shot);
    this.#uniforms.matrix.value.premultiply(new Matrix4().fromArray(around(shot, x, y)));
    this.#renderer.setRenderTarget(this.#target);
    this.#renderer.render(this.#ids, this.#camera);
    this.#renderer.readRenderTargetPixels(this.#target, 0, 0, SIDE, SIDE, this.#found);
    this.#renderer.setRenderTarget(null);
    return nearestCode(this.#found, shot.ratio);
  }

  /** The cloud as an image of `ratio` pixels to one of CSS; the screen has to be drawn again after that. */
  picture(shot: Shot): HTMLCanvasElement {
    this.draw(shot);
    const image = document.createElement('canvas');
    const source = this.#renderer.domElement;
    [image.width, image.height] = [source.width, source.height];
    // In the same task as the drawing: the browser empties the canvas after that.
    image.getContext('2d')?.drawImage(source, 0, 0);
    return image;
  }

  dispose(): void {
    this.#layers.dispose();
    this.#trails.dispose();
    this.#target.dispose();
    this.#renderer.dispose();
    // A page may hold few contexts, and lets go of them late.
    this.#renderer.forceContextLoss();
  }

  /** Only where it changes: even the same size empties the canvas. */
  #resize(width: number, height: number): void {
    const { domElement } = this.#renderer;
    if (domElement.width !== width || domElement.height !== height)
      this.#renderer.setSize(width, height, false);
  }

  #take({ data, extent, matrix, eye, ratio, ...shot }: Shot): void {
    const uniforms = this.#uniforms;
    uniforms.matrix.value.fromArray(matrix);
    uniforms.centre.value.fromArray(extent.centre);
    uniforms.radius.value = extent.radius;
    uniforms.between.value = data.mix;
    uniforms.eye.value = eye;
    uniforms.size.value = data.size;
    uniforms.ratio.value = ratio;
    for (const name of ['grey', 'ink', 'paper'] as const)
      uniforms[name].value.fromArray(shot[name]).divideScalar(255);
    this.#layers.take(data);
    this.#trails.take(data);
  }
}
