/** The answers of the routes, as docs/http-api.md gives them. */

export type ScaleKind = 'log' | 'fraction' | 'signed';

export interface StatisticInfo {
  readonly id: string;
  readonly label: string;
  readonly unit: string;
  readonly scale: ScaleKind;
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

export interface Catalogue {
  readonly statistics: readonly StatisticInfo[];
  readonly bins: BinLayout;
  readonly version: string;
  readonly schema_version: number;
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
  readonly omissions: readonly { readonly subject: string; readonly reason: string }[];
  readonly statistics: readonly string[];
  readonly has_bins: boolean;
  readonly cost: { readonly fraction: number; readonly interval: number; readonly dropped: number } | null;
  readonly sampling: {
    readonly records: number;
    readonly first_step: number | null;
    readonly last_step: number | null;
    readonly evicted: boolean;
  };
}

/** Something that can be stated without judging; `layers` are indices, the first one first. */
export interface Fact {
  readonly id: string;
  readonly kind: string;
  readonly title: string;
  readonly detail: string;
  readonly statistic: string;
  readonly layers: readonly number[];
  readonly step: number;
  readonly last_step: number;
  readonly evidence: Readonly<Record<string, number | null>>;
}

export type RowKind = 'layers' | 'parameters' | 'network';

/** What a cell of a series is; the numbers are those of the wire. */
export const STATE = { number: 0, missing: 1, noGradient: 2, nonFinite: 3 } as const;

/** A statistic of some rows over the records of a run. Matrices are row-major [rows.length, steps.length]. */
export interface Series {
  readonly statistic: string;
  readonly kind: RowKind;
  /** Which layers or parameters the rows are. */
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
