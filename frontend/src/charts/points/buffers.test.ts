import type { BufferAttribute } from 'three';
import { expect, test } from 'vitest';
import { PointBuffers, statesOf } from './pointBuffers';
import { LAYERS, STATES } from './shaders';
import { cloud } from './testing';
import { Trails } from './trails';
import type { CloudData } from './types';

const ATTRIBUTES = ['from', 'to', 'colour', 'state'] as const;

const attribute = ({ geometry }: PointBuffers, name: string) =>
  geometry.getAttribute(name) as BufferAttribute;
const held = (buffers: PointBuffers, name: string) => attribute(buffers, name).array;

/** How often each attribute has been given for upload. */
const uploads = (buffers: PointBuffers) =>
  new Map(ATTRIBUTES.map((name) => attribute(buffers, name)).map((given) => [given, given.version] as const));

test('uploads nothing while the points move', () => {
  const buffers = new PointBuffers();
  const data = cloud([0, 0, 1, 1], { to: Float32Array.of(2, 2, 3, 3) });
  expect(buffers.take(data)).toBe(true);
  const before = uploads(buffers);
  for (const mix of [0.2, 0.6, 1]) expect(buffers.take({ ...data, mix })).toBe(false);
  expect(uploads(buffers)).toEqual(before);
});

test('playing on uploads the new record alone', () => {
  const buffers = new PointBuffers();
  const records = [0, 1, 2, 3].map((record) => Float32Array.of(record, 0, record, 1));
  const data = cloud([...records[0]!]);
  buffers.take({ ...data, from: records[0]!, to: records[1]! });
  const kept = attribute(buffers, 'to');
  const version = kept.version;
  buffers.take({ ...data, from: records[1]!, to: records[2]! });
  expect(buffers.geometry.getAttribute('from')).toBe(kept);
  expect(kept.version).toBe(version);
  expect(held(buffers, 'to')).toBe(records[2]);
  // Back again, and to a pair of which neither was there.
  buffers.take({ ...data, from: records[2]!, to: records[1]! });
  expect([held(buffers, 'from'), held(buffers, 'to')]).toEqual([records[2], records[1]]);
  buffers.take({ ...data, from: records[3]!, to: records[0]! });
  expect([held(buffers, 'from'), held(buffers, 'to')]).toEqual([records[3], records[0]]);
  buffers.take({ ...data, from: records[0]!, to: records[0]! });
  expect([held(buffers, 'from'), held(buffers, 'to')]).toEqual([records[0], records[0]]);
});

test('takes other numbers of points and other dimensions', () => {
  const buffers = new PointBuffers();
  buffers.take(cloud([0, 0, 1, 1]));
  buffers.take(cloud([0, 0, 0, 1, 1, 1, 2, 2, 2], { dims: 3 }));
  expect(buffers.geometry.drawRange.count).toBe(3);
  expect(buffers.geometry.getAttribute('from').itemSize).toBe(3);
  expect(held(buffers, 'state')).toHaveLength(3);
});

test('says of each point what is to be seen of it', () => {
  const data = cloud([0, 0, 1, 1, Number.NaN, 0, 2, 2], {
    to: Float32Array.of(0, 0, Number.POSITIVE_INFINITY, 1, 0, 0, 2, 2),
    shown: Uint8Array.of(1, 0, 1, 0),
    selected: Uint8Array.of(0, 0, 1, 1),
  });
  const { shown, selected, inFrom, inTo } = STATES;
  expect([...statesOf(data)]).toEqual([
    shown | inFrom | inTo,
    inFrom,
    shown | selected | inTo,
    selected | inFrom | inTo,
  ]);
  const buffers = new PointBuffers();
  buffers.take(data);
  expect(buffers.layers).toEqual(new Set(Object.values(LAYERS)));
  buffers.take({ ...data, selected: new Uint8Array(4), shown: new Uint8Array(4) });
  expect(buffers.layers).toEqual(new Set([LAYERS.grey]));
});

/** Strengths of the lines of each point, from the oldest stretch to the youngest. */
function strengths(data: CloudData): number[][] {
  const trails = new Trails({});
  trails.take(data);
  return trails.group.children.map((lines) => {
    const { geometry } = lines as unknown as { geometry: PointBuffers['geometry'] };
    return [...(geometry.getAttribute('strength') as BufferAttribute).array];
  });
}

test('lines lead through every record to where the points are, paler the older they are', () => {
  const trails = [Float32Array.of(0, 0, 0, 0), Float32Array.of(1, 1, Number.NaN, 1)];
  const data = cloud([2, 2, 2, 2], { trails });
  const drawn = strengths(data);
  expect(drawn.map(([first]) => first)).toEqual([51, 102, 153]);
  // The second point was nowhere at an end of the first two stretches.
  expect(drawn.map(([, second]) => second! > 0)).toEqual([false, false, true]);
});

test('lines are of the selected points, or else of those that are shown', () => {
  const data = cloud([2, 2, 2, 2, 2, 2], { trails: [new Float32Array(6)], shown: Uint8Array.of(1, 1, 0) });
  const pointsOf = (change: Partial<CloudData>) =>
    strengths({ ...data, ...change })[0]!.flatMap((strength, index) => (strength ? [index] : []));
  expect(pointsOf({})).toEqual([0, 1]);
  expect(pointsOf({ selected: Uint8Array.of(0, 1, 0) })).toEqual([1]);
  expect(strengths({ ...data, trails: [] })).toEqual([]);
});
