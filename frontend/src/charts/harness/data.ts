/** Synthetic runs for looking at the charts: a network of which one layer dies, and awkward shapes. */

import { type LayerLabel, type Matrix, STATE } from '../types';

/** Repeatable uniform numbers (mulberry32). */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Records as the exporter thins them: 128 for each doubling of the step count. */
export function records(lastStep: number): { steps: Float64Array; spans: Float64Array } {
  const steps: number[] = [];
  const spans: number[] = [];
  for (let step = 0; step <= lastStep; ) {
    const stride = Math.max(1, 2 ** Math.floor(Math.log2(Math.max(1, step) / 128)));
    const end = Math.min(lastStep, (Math.floor(step / stride) + 1) * stride - 1);
    steps.push(end);
    spans.push(end - step + 1);
    step = end + 1;
  }
  return { steps: Float64Array.from(steps), spans: Float64Array.from(spans) };
}

export function blockNames(blocks: number, perBlock: number): LayerLabel[] {
  const names = ['stem.conv'];
  for (let block = 0; block < blocks; block++)
    for (let leaf = 1; leaf <= perBlock; leaf++) names.push(`blocks.${block}.conv${leaf}`);
  names.push('head.fc1', 'head.fc2', 'head.out');
  return names.map((name, row) => ({ name, detail: (1792 * (row + 1)).toLocaleString('en-US') }));
}

/** Gradient norms of a network whose layer `dead` dies at step `onset`; those before it starve. */
export function dyingNetwork(layers: number, lastStep: number, dead: number, onset: number): Matrix {
  const { steps, spans } = without(records(lastStep), lastStep * 0.64, lastStep * 0.67);
  const length = steps.length;
  const values = new Float32Array(layers * length);
  const states = new Uint8Array(layers * length);
  const uniform = random(812);
  const noise = () => uniform() + uniform() + uniform() - 1.5;
  for (let row = 0; row < layers; row++) {
    const own = noise() * 0.3;
    let drift = 0;
    for (let record = 0; record < length; record++) {
      const step = steps[record]!;
      drift = 0.85 * drift + noise() * 0.12;
      const cell = row * length + record;
      let log = -2.2 + (1.2 * row) / layers + own + drift + 0.5 * Math.exp(-step / 130);
      if (step > onset) log += row <= dead ? -4.6 + drift * 2 : -2.6 * Math.exp(-(row - dead) / 4);
      values[cell] = 10 ** log;
      const place = step / lastStep;
      if (place > 0.46 && place < 0.468 && row < layers * 0.6) states[cell] = STATE.nonfinite;
      else if (row <= dead && place > 0.68 && drift < -0.25) values[cell] = 0;
      else if (row === layers - 2 && place < 0.1) states[cell] = STATE.noGradient;
    }
  }
  return { rows: layers, steps, spans, values, states };
}

function without(
  { steps, spans }: { steps: Float64Array; spans: Float64Array },
  from: number,
  to: number,
): { steps: Float64Array; spans: Float64Array } {
  const kept = [...steps.keys()].filter((index) => steps[index]! < from || steps[index]! > to);
  return {
    steps: Float64Array.from(kept, (index) => steps[index]!),
    spans: Float64Array.from(kept, (index) => spans[index]!),
  };
}

/** A matrix that is the same everywhere. */
export function uniformMatrix(
  rows: number,
  length: number,
  value: number,
  state: number = STATE.number,
): Matrix {
  return {
    rows,
    steps: Float64Array.from({ length }, (_, record) => record),
    spans: new Float64Array(length).fill(1),
    values: new Float32Array(rows * length).fill(value),
    states: new Uint8Array(rows * length).fill(state),
  };
}
