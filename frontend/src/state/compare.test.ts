import { describe, expect, it } from 'vitest';
import type { Layer, Parameter } from '../data/types';
import { compareFindings, matchLayers } from './compare';

/** A network of layers given as "name:width", each with a square weight. */
function network(...described: string[]) {
  const named = described.map((one) => one.split(':') as [string, string]);
  const layers = named.map(
    ([name], index) => ({ name, type: 'Linear', parameters: [index] }) as unknown as Layer,
  );
  const parameters = named.map(([, width]) => ({ shape: [Number(width), 8] }) as unknown as Parameter);
  return { layers, parameters };
}

const found = (rule: string, ...layers: number[]) => ({ id: `${rule}:${layers[0] ?? ''}`, rule, layers });
const judged = (findings: ReturnType<typeof found>[], unchecked: string[] = []) => ({
  findings,
  not_checked: unchecked.map((rule) => ({ rule, title: rule, reason: '' })),
});

describe('layers of two runs', () => {
  it('match by name, wherever they stand', () => {
    expect(matchLayers(network('a:1', 'b:2', 'c:3'), network('c:3', 'a:1', 'b:9'))).toEqual([1, 2, 0]);
  });

  it('match by position and shape where they were renamed', () => {
    const before = network('features.0:8', 'features.1:16', 'head:10');
    expect(matchLayers(network('blocks.0:8', 'blocks.1:16', 'head:10'), before)).toEqual([0, 1, 2]);
  });

  it('match past a layer that was put in or taken out', () => {
    const before = network('f0:8', 'f1:16', 'f2:32');
    expect(matchLayers(network('b0:8', 'new:64', 'b1:16', 'b2:32'), before)).toEqual([0, null, 1, 2]);
    expect(matchLayers(network('b0:8', 'b2:32'), before)).toEqual([0, 2]);
  });

  it('do not match another shape or another order', () => {
    expect(matchLayers(network('x:8'), network('y:9'))).toEqual([null]);
    expect(
      matchLayers(network('x:1', 'y:2'), network('p:2', 'q:1')).filter((one) => one !== null),
    ).toHaveLength(1);
    expect(matchLayers(network(), network('a:1'))).toEqual([]);
  });

  it('match a name like __proto__', () => {
    expect(
      matchLayers(network('__proto__:1', 'constructor:2'), network('constructor:2', '__proto__:1')),
    ).toEqual([1, 0]);
  });
});

describe('findings of two runs', () => {
  const same = [0, 1, 2];

  it('are resolved, persisting or new', () => {
    const own = judged([found('dead_units', 1, 2), found('nonfinite', 0), found('loss_plateau')]);
    const other = judged([found('dead_units', 2), found('saturation', 0), found('loss_plateau')]);
    const { standing, resolved, unknown } = compareFindings(own, other, same);
    expect(Object.fromEntries(standing)).toEqual({
      'dead_units:1': 'persisting',
      'nonfinite:0': 'new',
      'loss_plateau:': 'persisting',
    });
    expect(resolved.map(({ id }) => id)).toEqual(['saturation:0']);
    expect(unknown).toEqual([]);
  });

  it('in other layers are others', () => {
    const { standing, resolved } = compareFindings(
      judged([found('dead_units', 1)]),
      judged([found('dead_units', 2), found('dead_units')]),
      same,
    );
    expect([...standing.values()]).toEqual(['new']);
    expect(resolved).toHaveLength(2);
  });

  it('follow a layer that was renamed, and not one that is gone', () => {
    const other = judged([found('dead_units', 2)]);
    expect([...compareFindings(judged([found('dead_units', 0)]), other, [2]).standing.values()]).toEqual([
      'persisting',
    ]);
    expect([...compareFindings(judged([found('dead_units', 0)]), other, [null]).standing.values()]).toEqual([
      'new',
    ]);
  });

  it('are neither resolved nor new where a run was not checked for them', () => {
    const own = judged([found('dead_units', 0)], ['overfitting']);
    const other = judged([found('overfitting')], ['dead_units']);
    const { standing, resolved, unknown } = compareFindings(own, other, same);
    expect([...standing.values()]).toEqual(['unknown']);
    expect(resolved).toEqual([]);
    expect(unknown.map(({ rule }) => rule)).toEqual(['overfitting']);
  });
});
