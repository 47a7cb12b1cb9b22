/** Heatmaps of awkward shapes: one cell, nothing but marks, hostile names, thousands of layers. */

import { useMemo } from 'preact/hooks';
import { autoFold } from '../../scopes';
import { type LayerLabel, STATE } from '../../types';
import { blockNames, dyingNetwork, uniformMatrix } from '../data';
import { Fixture } from '../linked';

export function Edges() {
  const one: LayerLabel[] = [{ name: 'fc' }];
  const five = ['a', 'b', 'c', 'd', 'e'].map((leaf) => ({
    name: `<img src=x onerror=alert(1)>.${leaf.repeat(300)}\n`,
  }));
  return (
    <>
      <Fixture layers={one} matrix={uniformMatrix(1, 1, 0.01)} height={100} at={{ row: 0, step: 0 }} />
      <Fixture layers={five} matrix={uniformMatrix(5, 1, 0)} height={140} labels="compact" />
      <Fixture layers={five} matrix={uniformMatrix(5, 40, 0)} height={140} />
      <Fixture layers={five} matrix={uniformMatrix(5, 40, Number.NaN, STATE.nonfinite)} height={140} />
      <Fixture layers={five} matrix={uniformMatrix(5, 40, Number.NaN, STATE.noGradient)} height={140} />
      <Fixture layers={five} matrix={uniformMatrix(5, 40, Number.NaN, STATE.notRecorded)} height={140} />
      <Fixture layers={[]} matrix={uniformMatrix(0, 0, 0)} height={120} />
    </>
  );
}

export function Huge() {
  const layers = useMemo(() => blockNames(200, 10).slice(0, 2000), []);
  const matrix = useMemo(() => dyingNetwork(layers.length, 100_000, 700, 8000), []);
  const rows = layers.map((_, row) => row);
  return (
    <>
      <Fixture layers={layers} matrix={matrix} height={420} at={{ row: 700, step: 8010 }} />
      <Fixture
        layers={layers}
        matrix={matrix}
        height={420}
        at={{ row: 700, step: 8010 }}
        closed={autoFold(layers, rows, 400, [700])}
        labels="compact"
      />
    </>
  );
}
