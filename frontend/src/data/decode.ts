/** From frames to the arrays of each route, with every length checked. */
import { DataError } from './errors';
import { arrayOf, type Frame } from './frame';
import type { BinSeries, Metric, RowKind, Series, Spending } from './types';

export function decodeSeries(frame: Frame): Series {
  const { statistic, rows, row } = frame.header;
  if (typeof statistic !== 'string' || typeof rows !== 'string' || !Array.isArray(row)) {
    throw new DataError('malformed', 'The server sent a series without its description.');
  }
  const steps = arrayOf(frame, 'steps', 'float64', [null]);
  const shape = [row.length, steps.length];
  const banded = frame.arrays.has('low');
  return {
    statistic,
    kind: rows as RowKind,
    rows: row as number[],
    steps,
    spans: arrayOf(frame, 'spans', 'float64', [steps.length]),
    observations: arrayOf(frame, 'observations', 'float32', [steps.length]),
    values: arrayOf(frame, 'values', 'float32', shape),
    states: arrayOf(frame, 'states', 'uint8', shape),
    low: banded ? arrayOf(frame, 'low', 'float32', shape) : null,
    high: banded ? arrayOf(frame, 'high', 'float32', shape) : null,
  };
}

export function decodeBins(frame: Frame, bins: number): BinSeries {
  const steps = arrayOf(frame, 'steps', 'float64', [null]);
  return { steps, counts: arrayOf(frame, 'counts', 'uint32', [steps.length, bins]) };
}

export function decodeMetrics(frame: Frame): Metric[] {
  const listed = frame.header.metrics;
  if (!Array.isArray(listed))
    throw new DataError('malformed', 'The server sent metrics without their names.');
  return listed.map((entry: { name: string; role: string }, i) => {
    const steps = arrayOf(frame, `${i}.steps`, 'float64', [null]);
    const column = (name: string) => arrayOf(frame, `${i}.${name}`, 'float32', [steps.length]);
    return {
      name: entry.name,
      role: entry.role,
      steps,
      spans: arrayOf(frame, `${i}.spans`, 'float64', [steps.length]),
      observations: column('observations'),
      mean: column('mean'),
      min: column('min'),
      max: column('max'),
      nonfinite: column('nonfinite'),
    };
  });
}

export function decodeCost(frame: Frame): Spending[] {
  const { models } = frame.header;
  if (!Array.isArray(models))
    throw new DataError('malformed', 'The server sent costs without the names of models.');
  return models.map((model: string, i) => {
    const steps = arrayOf(frame, `${i}.steps`, 'float64', [null]);
    const column = (name: string) => arrayOf(frame, `${i}.${name}`, 'float32', [steps.length]);
    return {
      model,
      steps,
      spans: arrayOf(frame, `${i}.spans`, 'float64', [steps.length]),
      fraction: column('fraction'),
      interval: column('interval'),
      dropped: column('dropped'),
    };
  });
}
