import { describe, expect, it } from 'vitest';
import {
  groupsOf,
  type Labelled,
  labelWords,
  numberRange,
  predictionWords,
  waysToColour,
} from './embeddings-groups';

const NONE = Number.NaN;

function picture(
  labels: number[] | null,
  predictions: number[] | null,
  classes: string[] = [],
  kind = 'classes',
) {
  const count = labels?.length ?? predictions?.length ?? 3;
  const positions = new Float32Array(2 * count);
  const of = predictions === null ? null : Float32Array.from(predictions);
  return {
    points: { step: 0, set: 0, count, dims: 2, positions, predictions: of },
    set: { points: count, labels: kind, classes, thumbnails: null },
    labels: labels === null ? null : Float32Array.from(labels),
  } satisfies Labelled;
}

describe('ways to colour', () => {
  it.each([
    ['classes and predictions', picture([0], [0]), ['class', 'prediction', 'correctness', 'none']],
    ['classes', picture([0], null), ['class', 'none']],
    ['classes that are not there yet', picture(null, [0]), ['prediction', 'none']],
    ['numbers', picture([0.5], null, [], 'numbers'), ['number', 'none']],
    ['nothing', picture(null, null, [], 'none'), ['none']],
    ['labels of a newer kind', picture([1], null, [], 'polygons'), ['none']],
  ])('of points with %s', (_what, one, ways) => {
    expect(waysToColour(one)).toEqual(ways);
  });
});

describe('groups', () => {
  it('are the classes, and count their points', () => {
    const groups = groupsOf('class', [picture([0, 1, 1, NONE], null, ['cat', 'dog', 'newt'])]);
    expect(groups.names).toEqual(['cat', 'dog', 'newt']);
    expect([...groups.codes[0]!]).toEqual([0, 1, 1, -1]);
    expect(groups.counts).toEqual([1, 2, 0]);
    expect(groups.without).toBe(1);
  });

  it('are the same in both pictures where they have the same names', () => {
    const groups = groupsOf('class', [
      picture([0, 1], null, ['cat', 'dog']),
      picture([0, 1], null, ['dog', 'newt']),
    ]);
    expect(groups.names).toEqual(['cat', 'dog', 'newt']);
    expect([...groups.codes[1]!]).toEqual([1, 2]);
    expect(groups.counts).toEqual([1, 1, 1]);
  });

  it('name a predicted class that no label has by its number', () => {
    const one = picture([0, 0], [0, 7], ['cat']);
    expect(groupsOf('prediction', [one]).names).toEqual(['cat', 'class 7']);
    expect(predictionWords(one, 1)).toBe('class 7');
  });

  it('tell right from wrong, and neither where one of both is missing', () => {
    const groups = groupsOf('correctness', [picture([0, 1, NONE, 0], [0, 0, 0, NONE], ['cat', 'dog'])]);
    expect([...groups.codes[0]!]).toEqual([0, 1, -1, -1]);
    expect(groups.counts).toEqual([1, 1]);
  });

  it('are none where points are coloured by a number or by nothing', () => {
    expect(groupsOf('number', [picture([0.5, 1], null, [], 'numbers')]).names).toEqual([]);
    expect([...groupsOf('none', [picture([0, 1], null)]).codes[0]!]).toEqual([-1, -1]);
  });
});

describe('words', () => {
  it('say a label, or nothing', () => {
    const one = picture([1, NONE, 0], null, ['', 'dog']);
    expect([0, 1, 2].map((index) => labelWords(one, index))).toEqual(['dog', '', 'class 0']);
    expect(labelWords(picture([0.1], null, [], 'numbers'), 0)).toBe('0.1');
  });
});

describe('numbers', () => {
  it('range over what is finite', () => {
    expect(numberRange([picture([NONE, 3, -1, Number.POSITIVE_INFINITY], null)])).toEqual([-1, 3]);
    expect(numberRange([picture([NONE], null)])).toBeNull();
  });
});
