/** What a profile draws of each row: magnitudes on a log axis, or a mean with its spread on one that holds both signs. */

import type { ValueScale } from '../scale';
import type { LayoutRow, Matrix, Painter } from '../types';
import type { ProfileScene } from './drawProfile';
import { drawMagnitudes } from './magnitudes';
import { drawSpread, spreadScale } from './spread';
import { profileScale, type Reading, reading, signedReading } from './values';

export interface ProfileKind {
  /** What the two matrices are, for words and tables. */
  readonly names: readonly [string, string];
  scaleOf(first: Matrix, second: Matrix): ValueScale;
  /** The first matrix in a row at a record; the second is always a magnitude. */
  read(matrix: Matrix, row: number, record: number): Reading;
  drawRow(painter: Painter, scene: ProfileScene, row: LayoutRow, color: string): void;
}

export const MAGNITUDES: ProfileKind = {
  names: ['mean |g|', 'max |g|'],
  scaleOf: (mean, max) => profileScale([mean, max]),
  read: reading,
  drawRow: drawMagnitudes,
};

export const SPREAD: ProfileKind = {
  names: ['mean', 'standard deviation'],
  scaleOf: spreadScale,
  read: signedReading,
  drawRow: drawSpread,
};
