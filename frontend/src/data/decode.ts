/** From frames to the arrays of each route, with every length checked. */
import { DataError } from './errors';
import { arrayOf, type Frame } from './frame';
import type {
  BinSeries,
  DeadSeries,
  Metric,
  RowKind,
  Series,
  Spending,
  UnitPage,
  UnitThresholds,
} from './types';

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

export function decodeDead(frame: Frame, states: number): DeadSeries {
  const { activations, thresholds, revision } = frame.header;
  if (!Array.isArray(activations))
    throw new DataError('malformed', 'The server sent counts of units without their activations.');
  const steps = arrayOf(frame, 'steps', 'float64', [null]);
  const [rows, length] = [activations.length, steps.length];
  return {
    revision: String(revision),
    activations: activations as number[],
    thresholds: thresholds as UnitThresholds,
    steps,
    spans: arrayOf(frame, 'spans', 'float64', [length]),
    samples: arrayOf(frame, 'samples', 'float32', [rows, length]),
    units: arrayOf(frame, 'units', 'uint32', [rows]),
    counts: arrayOf(frame, 'counts', 'uint32', [rows, states, length]),
    states,
  };
}

export function decodeUnits(frame: Frame): UnitPage {
  const { activation, units, unit } = frame.header;
  if (typeof activation !== 'number' || typeof units !== 'number' || !Array.isArray(unit))
    throw new DataError('malformed', 'The server sent units without saying which.');
  const steps = arrayOf(frame, 'steps', 'float64', [null]);
  const shape = [unit.length, steps.length];
  const column = (name: string) => arrayOf(frame, name, 'float32', shape);
  return {
    activation,
    total: units,
    unit: unit as number[],
    steps,
    spans: arrayOf(frame, 'spans', 'float64', [steps.length]),
    samples: arrayOf(frame, 'samples', 'float32', [steps.length]),
    counted: arrayOf(frame, 'counted', 'float32', [steps.length]),
    states: arrayOf(frame, 'states', 'uint8', shape),
    fired: column('fired'),
    mean: column('mean'),
    std: column('std'),
    largest: column('largest'),
    saturated: column('saturated'),
    gradient: column('gradient'),
    since: arrayOf(frame, 'since', 'float64', [unit.length]),
  };
}
