/** The answers of the routes, as docs/http-api.md gives them. */

export type ScaleKind = 'log' | 'fraction' | 'signed' | 'linear';

export interface StatisticInfo {
  readonly id: string;
  readonly label: string;
  readonly unit: string;
  readonly scale: ScaleKind;
  /** What it is a number of. */
  readonly rows: 'parameters' | 'activations';
  readonly definition: string;
  readonly reading: string;
}

/** The fixed bins of gradient magnitudes: indices of the special ones, exponents of the others. */
export interface BinLayout {
  readonly lowest_exponent: number;
  readonly highest_exponent: number;
  readonly zero: number;
  readonly nonfinite: number;
  readonly below: number;
  readonly first: number;
  readonly above: number;
  readonly count: number;
}

/** What can be said of a unit at a record; the place in the list is the code on the wire. */
export interface UnitStateInfo {
  readonly id: string;
  readonly label: string;
  readonly definition: string;
}

/** From where on a unit is called dead, sparse or saturated. */
export interface UnitThresholds {
  readonly samples: number;
  readonly windows: number;
  readonly sparse: number;
  readonly saturated: number;
  readonly flat: number;
}

export interface Catalogue {
  readonly statistics: readonly StatisticInfo[];
  readonly bins: BinLayout;
  readonly unit_states: readonly UnitStateInfo[];
  readonly unit_thresholds: UnitThresholds;
  readonly version: string;
  readonly schema_version: number;
}

export interface Omission {
  readonly subject: string;
  readonly reason: string;
}

export interface RunSummary {
  readonly run: string;
  readonly revision: string;
  /** Unix time of the last record in seconds, null where there is none. */
  readonly wall_time: number | null;
  readonly last_step: number | null;
  readonly error: string | null;
}

export interface Layer {
  readonly name: string;
  readonly model: string;
  readonly type: string;
  readonly detail: string;
  readonly elements: number;
  /** Indices into the run's parameters. */
  readonly parameters: readonly number[];
  readonly frozen: boolean;
  readonly input_shape: readonly number[] | null;
  readonly output_shape: readonly number[] | null;
}

export interface Parameter {
  readonly name: string;
  /** Index into the run's layers. */
  readonly layer: number;
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly elements: number;
  readonly frozen: boolean;
  readonly group: number | null;
}

/** A place in the forward pass where an output was measured. */
export interface Activation {
  readonly name: string;
  /** What people call it: "fc1 · ReLU". */
  readonly label: string;
  /** Index into the run's layers, or null where none makes it. */
  readonly layer: number | null;
  readonly module: string;
  readonly model: string;
  readonly kind: string;
  /** Whether it is a function that is called rather than a module. */
  readonly function: boolean;
  /** "rectifier", "smooth", "bounded", "softmax" or "none". */
  readonly response: string;
  /** Units that are recorded one by one; 0 where there are none. */
  readonly units: number;
  /** What a unit is: "channel", "feature", "head". */
  readonly unit: string;
  readonly shape: readonly number[];
  readonly place: string;
}

export interface Run {
  readonly run: string;
  readonly revision: string;
  readonly models: readonly {
    readonly name: string;
    readonly framework: string;
    readonly writer: string;
    /** `budget` is 0 where every `every`-th step is observed whatever it costs. */
    readonly schedule: { readonly budget: number; readonly every: number };
  }[];
  readonly layers: readonly Layer[];
  readonly parameters: readonly Parameter[];
  /** In network order. */
  readonly activations: readonly Activation[];
  readonly omissions: readonly Omission[];
  readonly statistics: readonly string[];
  readonly has_bins: boolean;
  readonly has_activation_bins: boolean;
  readonly has_units: boolean;
  readonly cost: { readonly fraction: number; readonly interval: number; readonly dropped: number } | null;
  readonly sampling: {
    readonly records: number;
    readonly first_step: number | null;
    readonly last_step: number | null;
    readonly evicted: boolean;
  };
}

export type RowKind = 'layers' | 'parameters' | 'network' | 'activations';

/** What a cell of a series is; the numbers are those of the wire. */
export const STATE = { number: 0, missing: 1, noGradient: 2, nonFinite: 3 } as const;

/** A statistic of some rows over the records of a run. Matrices are row-major [rows.length, steps.length]. */
export interface Series {
  readonly statistic: string;
  readonly kind: RowKind;
  /** Which layers, parameters or activations the rows are. */
  readonly rows: readonly number[];
  readonly steps: Float64Array;
  readonly spans: Float64Array;
  readonly observations: Float32Array;
  readonly values: Float32Array;
  readonly states: Uint8Array;
  /** Lowest and highest value within each record, where they were asked for. */
  readonly low: Float32Array | null;
  readonly high: Float32Array | null;
}

/** Counts of gradient magnitudes, row-major [steps.length, bins]. */
export interface BinSeries {
  readonly steps: Float64Array;
  readonly counts: Uint32Array;
}

export interface Metric {
  readonly name: string;
  readonly role: string;
  readonly steps: Float64Array;
  readonly spans: Float64Array;
  /** Values that each record holds. */
  readonly observations: Float32Array;
  readonly mean: Float32Array;
  readonly min: Float32Array;
  readonly max: Float32Array;
  readonly nonfinite: Float32Array;
}

/** What recording one model cost, record by record. */
export interface Spending {
  readonly model: string;
  readonly steps: Float64Array;
  /** Steps since the record before. */
  readonly spans: Float64Array;
  /** Share of the training time in those steps. */
  readonly fraction: Float32Array;
  /** Every how many steps one was observed. */
  readonly interval: Float32Array;
  /** Records lost until then. */
  readonly dropped: Float32Array;
}

/** The thresholds that a reader moved; what is left out is the server's. */
export interface ThresholdChoice {
  readonly samples?: number | undefined;
  readonly windows?: number | undefined;
}

/** How many units of each activation are in which state, record by record. */
export interface DeadSeries {
  /** State of the run that they are of. */
  readonly revision: string;
  /** Indices of the A activations that have units. */
  readonly activations: readonly number[];
  readonly thresholds: UnitThresholds;
  /** [T] */
  readonly steps: Float64Array;
  readonly spans: Float64Array;
  /** [A, T] Samples of each record. */
  readonly samples: Float32Array;
  /** [A] */
  readonly units: Uint32Array;
  /** [A, states, T] */
  readonly counts: Uint32Array;
  readonly states: number;
}

export type UnitSort = 'index' | 'death' | 'activity';

/** Some units of one activation over its records; matrices are row-major [unit.length, steps.length]. */
export interface UnitPage {
  readonly activation: number;
  /** Units that the activation has. */
  readonly total: number;
  /** Which units the rows are. */
  readonly unit: readonly number[];
  readonly steps: Float64Array;
  readonly spans: Float64Array;
  /** [T] Samples whose largest value was read, and those that the shares are of. */
  readonly samples: Float32Array;
  readonly counted: Float32Array;
  readonly states: Uint8Array;
  readonly fired: Float32Array;
  readonly mean: Float32Array;
  readonly std: Float32Array;
  readonly largest: Float32Array;
  readonly saturated: Float32Array;
  readonly gradient: Float32Array;
  /** [R] First step of the stretch that makes the last state; NaN where it is none of dead, saturated, frozen. */
  readonly since: Float64Array;
}

/** Units of one activation that fell silent in the same record. */
export interface Death {
  readonly activation: number;
  /** First step of the silence. */
  readonly step: number;
  readonly units: readonly number[];
  readonly count: number;
  readonly of: number;
  /** The fewest samples over which one of them is silent. */
  readonly samples: number;
  /** How many of them fire again by the end. */
  readonly revived: number;
}

/** A unit that does the same as another one of its layer, or the opposite. */
export interface Twin {
  readonly unit: number;
  readonly twin: number;
  readonly opposite: boolean;
  /** By how much at most it behaved differently, as a share. */
  readonly difference: number;
}

/** The redundant units of a layer. */
export interface RedundantLayer {
  /** The last of its activations, where they are listed. */
  readonly activation: number;
  readonly layer: string;
  /** Over which they were compared. */
  readonly samples: number;
  readonly units: readonly Twin[];
}

export interface Redundancy {
  readonly redundant: readonly RedundantLayer[];
  /** Layers whose units were not compared, and why. */
  readonly not_compared: readonly {
    readonly activation: number;
    readonly layer: string;
    readonly reason: string;
  }[];
}
