/** Marks of cells that hold no number, drawn pixel by pixel: each has a pattern of its own, never colour alone.
 *
 * A run is a stretch of one row with the same mark. Patterns must be seen in a run of one pixel and of forty.
 */

import { CODE } from './codes';
import { mix, parseColor, pixel, type Rgb } from './color';
import type { Theme } from './theme';

export interface Raster {
  readonly width: number;
  readonly height: number;
  /** Pixels of the screen to one of CSS. */
  readonly ratio: number;
  /** [height, width] */
  readonly data: Uint32Array;
}

export interface Run {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  /** Records in the run. */
  readonly cells: number;
}

/** How much of a pixel is the mark rather than its paper, 0 to 1, at a distance from the run's corner. */
type Coverage = (x: number, y: number) => number;

interface Mark {
  readonly paper: Rgb;
  readonly ink: Rgb;
  coverage(run: Run, ratio: number): Coverage;
}

export type Marks = Readonly<Record<number, Mark>>;

export function cellMarks({ token }: Theme): Marks {
  const mark = (paper: string, ink: string, coverage: Mark['coverage']): Mark => ({
    paper: parseColor(paper),
    ink: parseColor(ink),
    coverage,
  });
  return {
    [CODE.zero]: mark(token['cell-zero'], token['cell-zero-mark'], dots),
    [CODE.nonfinite]: mark(token['cell-nan'], token['cell-nan-mark'], strokes),
    [CODE.noGradient]: mark(token['cell-missing'], token['text-3'], dashes),
    [CODE.neverRun]: mark(token['cell-missing'], token['cell-missing-mark'], ruling),
    [CODE.missing]: mark(token['cell-missing'], token['cell-missing-mark'], hatching),
  };
}

/** Fill a run with its mark. */
export function stampRun(raster: Raster, mark: Mark, run: Run): void {
  const coverage = mark.coverage(run, raster.ratio);
  const shades = Array.from({ length: 9 }, (_, step) => pixel(mix(mark.paper, mark.ink, step / 8)));
  for (let y = run.top; y < run.bottom; y++)
    for (let x = run.left; x < run.right; x++) {
      const share = coverage(x - run.left, y - run.top);
      raster.data[y * raster.width + x] = shades[Math.round(Math.min(1, Math.max(0, share)) * 8)]!;
    }
}

/** Zero: a dot in each cell, or one every four pixels where cells are narrower. */
function dots({ left, right, top, bottom, cells }: Run, ratio: number): Coverage {
  const width = right - left;
  const height = bottom - top;
  const count = Math.max(1, Math.min(cells, Math.floor(width / (4 * ratio))));
  const pitch = width / count;
  const radius = Math.max(
    0.6,
    Math.min(ratio * 3, pitch * 0.22, height * 0.22, Math.max(ratio * 1.3, pitch * 0.08)),
  );
  return (x, y) => {
    const across = ((x + 0.5) % pitch) - pitch / 2;
    const down = y + 0.5 - height / 2;
    return radius + 0.5 - Math.hypot(across, down);
  };
}

/** NaN: strokes from bottom left to top right. */
function strokes({ left, right, top, bottom }: Run, ratio: number): Coverage {
  const width = right - left;
  const height = bottom - top;
  if (width < 3 * ratio || height < 4 * ratio) return () => 0;
  const pitch = width / Math.max(1, Math.round(width / Math.min(Math.max(height, 6 * ratio), 14 * ratio)));
  const slope = (pitch - ratio) / (height - ratio);
  const steepness = Math.hypot(1, slope);
  return (x, y) => {
    const across = ((x + 0.5) % pitch) - pitch / 2;
    const center = (height / 2 - (y + 0.5)) * slope;
    return ratio * 0.5 + 0.5 - Math.abs(across - center) / steepness;
  };
}

/** No gradient: a dashed line through the middle. */
function dashes({ top, bottom }: Run, ratio: number): Coverage {
  const thickness = Math.max(1, Math.round(ratio));
  const begin = Math.floor((bottom - top - thickness) / 2);
  const dash = Math.round(4 * ratio);
  const period = Math.round(7 * ratio);
  return (x, y) => (y >= begin && y < begin + thickness && x % period < dash ? 1 : 0);
}

/** Not recorded: hatching that runs on from row to row. */
function hatching({ left, top }: Run, ratio: number): Coverage {
  const period = 5 * ratio;
  return (x, y) => {
    const place = (left + x + top + y) % period;
    return ratio * 0.5 + 0.5 - Math.abs(place - period / 2) * Math.SQRT1_2;
  };
}

/** Never run: upright lines, as of a page that nobody has written on. */
function ruling({ left }: Run, ratio: number): Coverage {
  const period = Math.round(4 * ratio);
  const thickness = Math.max(1, Math.round(ratio));
  return (x) => ((left + x) % period < thickness ? 1 : 0);
}
