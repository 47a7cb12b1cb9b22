/** Synthetic runs for looking at the charts: a network of which one layer dies, and awkward shapes. */

import { type LayerLabel, type Matrix, type Series, STATE } from '../types';

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

/** A record of each of `count` steps. */
export function plain(count: number): { steps: Float64Array; spans: Float64Array } {
  return {
    steps: Float64Array.from({ length: count }, (_, step) => step),
    spans: new Float64Array(count).fill(1),
  };
}

export function blockNames(blocks: number, perBlock: number): LayerLabel[] {
  const names = ['stem.conv'];
  for (let block = 0; block < blocks; block++)
    for (let leaf = 1; leaf <= perBlock; leaf++) names.push(`blocks.${block}.conv${leaf}`);
  names.push('head.fc1', 'head.fc2', 'head.out');
  return names.map((name, row) => ({ name, detail: (1792 * (row + 1)).toLocaleString('en-US') }));
}

/** Gradient norms of a network whose layer `dead` dies at step `onset`; those before it starve. */
export function dyingNetwork(
  layers: number,
  lastStep: number,
  dead: number,
  onset: number,
  recorded = without(records(lastStep), lastStep * 0.64, lastStep * 0.67),
): Matrix {
  const { steps, spans } = recorded;
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

/** `matrix` with every value times `factor`. */
export function scaled(matrix: Matrix, factor: number): Matrix {
  return { ...matrix, values: matrix.values.map((value) => value * factor) };
}

/** Losses with a spike, a gradient norm and a learning rate. */
export function metric(lastStep: number, onset: number): Record<'loss' | 'norm' | 'rate', Series[]> {
  const { steps, spans } = records(lastStep);
  const uniform = random(7);
  const of = (value: (step: number) => number) => Float32Array.from(steps, value);
  const base = (step: number) =>
    step < onset ? 1.2 + 1.2 * Math.exp(-step / 330) : 2.2 + 0.5 * Math.exp(-(step - onset) / 70);
  const train = of((step) => (Math.abs(step - onset) < 4 ? 48.7 : base(step) + uniform() * 0.1));
  const validation = steps.filter((_, index) => index % 12 === 0);
  return {
    loss: [
      { label: 'train', steps, spans, values: train },
      {
        label: 'val',
        dashed: true,
        steps: validation,
        spans: new Float64Array(validation.length).fill(1),
        values: Float32Array.from(validation, (step) => base(step) + 0.15),
      },
    ],
    norm: [
      {
        label: '',
        steps,
        spans,
        values: of((step) =>
          step > 2300 && step < 2340 ? Number.NaN : 0.05 + uniform() * 0.02 + (step < onset ? 0.3 : 0),
        ),
      },
    ],
    rate: [
      {
        label: '',
        steps,
        spans,
        values: of((step) =>
          step < 800 ? (0.12 * step) / 800 : 0.06 * (1 + Math.cos((Math.PI * (step - 800)) / 4200)),
        ),
      },
    ],
  };
}

export const BINS = {
  lowest_exponent: -104,
  highest_exponent: 19,
  zero: 0,
  nonfinite: 1,
  below: 2,
  first: 3,
  above: 127,
  count: 128,
};

/** Counts of 4,096 samples around 2^`center`. */
export function counts(zero: number, center: number, nonfinite = 0): Uint32Array {
  const bins = new Uint32Array(BINS.count);
  bins[BINS.zero] = Math.round(4096 * zero);
  bins[BINS.nonfinite] = Math.round(4096 * nonfinite);
  const rest = 4096 * (1 - zero - nonfinite);
  for (let exponent = -60; exponent < 19; exponent++)
    bins[BINS.first + exponent - BINS.lowest_exponent] = Math.round(
      (rest / 8.8) * Math.exp(-((exponent - center) ** 2) / 2 / 12.25),
    );
  return bins;
}
