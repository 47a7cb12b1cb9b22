/** What charts take and give. Charts hold no state of the app: data and linked signals come in, callbacks go out. */

import type { ReadonlySignal, Signal } from '@preact/signals';

/** Lowest and highest value, in this order. */
export type Domain = readonly [low: number, high: number];

/** State of a cell, as `/series` sends it; what never ran is told apart by the charts of units. */
export const STATE = { number: 0, notRecorded: 1, noGradient: 2, nonfinite: 3, neverRun: 4 } as const;

/** How a statistic is drawn, as `/catalogue` sends it. `share` and `dead` are for shares of units: of any state, of an ill one. */
export type ScaleKind = 'log' | 'fraction' | 'signed' | 'linear' | 'share' | 'dead';

/** One statistic of R rows over T records; arrays of two dimensions are row-major. */
export interface Matrix {
  readonly rows: number;
  /** [T] Last step of each record, increasing. */
  readonly steps: Float64Array;
  /** [T] Steps that each record covers. */
  readonly spans: Float64Array;
  /** [R, T] */
  readonly values: Float32Array;
  /** [R, T] of STATE. */
  readonly states: Uint8Array;
}

/** What a chart says about the statistic that it draws. */
export interface StatisticLabel {
  readonly label: string;
  readonly unit: string;
  readonly scale: ScaleKind;
}

/** A row of a matrix, in words. */
export interface LayerLabel {
  /** Dotted name; hostile text. */
  readonly name: string;
  /** Short text at the right of the name, such as the number of parameters. */
  readonly detail?: string;
}

/** The axis of steps, shared by all charts of a page. */
export interface StepDomain {
  /** Everything that there is; see `stepExtent`. */
  readonly extent: ReadonlySignal<Domain>;
  /** What is shown, or null for everything. */
  readonly zoom: Signal<Domain | null>;
}

/** A place under the pointer. */
export interface Hover {
  readonly step: number;
  /** Row of the matrix, or null over a chart that has only steps. */
  readonly row: number | null;
}

/** The selected row (null: none) and step (null: none). */
export interface Selection {
  readonly row: number | null;
  readonly step: number | null;
}

export type Severity = 'critical' | 'warning' | 'note';

/** A triangle above the plot, with a hairline down through it. */
export interface StepMark {
  readonly step: number;
  readonly label: string;
  readonly severity: Severity;
}

/** Steps of which there is no record, because they were left out on purpose: a cross on the axis. */
export interface Skip {
  /** Among the steps from here … */
  readonly first: number;
  /** … to here … */
  readonly last: number;
  /** … so many were left out. */
  readonly count: number;
}

/** A row that has a remark at its right edge, and the colour of its severity on its name and, when selected, its box. */
export interface RowFlag {
  /** Row of the matrix. */
  readonly row: number;
  readonly severity: Severity;
  /** One line at the right edge; empty for none. */
  readonly remark: string;
}

/** Empty space between a canvas and its plot, in CSS pixels. Charts that share `left` and `right` share their x edges. */
export interface Insets {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** A visible row of the heatmap: a layer, or a folded scope. */
export interface LayoutRow {
  /** From the top of the content, in CSS pixels. */
  readonly y: number;
  readonly height: number;
  /** Rows of the matrix that it stands for, in order; several only when folded. */
  readonly members: readonly number[];
  readonly folded: boolean;
  /** Index into RowLayout.scopes. */
  readonly scope: number;
}

/** Neighbouring layers under one name. */
export interface LayoutScope {
  /** Dotted name of the scope, or the layer's own name where it stands alone. */
  readonly name: string;
  /** Rows of the matrix. */
  readonly members: readonly number[];
  readonly folded: boolean;
  /** Whether it can be folded at all: more than one member. */
  readonly foldable: boolean;
  readonly y: number;
  readonly height: number;
}

export interface RowLayout {
  readonly rows: readonly LayoutRow[];
  readonly scopes: readonly LayoutScope[];
  /** Of the content; more than the available height when it scrolls. */
  readonly height: number;
}

/** Where rows stand on the screen; the heatmap writes it so that a profile beside it can align. */
export interface RowFrame {
  readonly layout: RowLayout;
  /** Top of the rows below the top of the chart, in CSS pixels. */
  readonly top: number;
  /** Height in which rows are seen. */
  readonly height: number;
  readonly scroll: number;
}

/** One curve over steps. */
export interface Series {
  readonly label: string;
  /** CSS colour; by default that of the first run. */
  readonly color?: string;
  /** Validation is dashed. */
  readonly dashed?: boolean;
  readonly steps: Float64Array;
  readonly spans: Float64Array;
  readonly values: ArrayLike<number>;
  /** Lowest and highest value of each record, drawn as a band. */
  readonly low?: ArrayLike<number>;
  readonly high?: ArrayLike<number>;
  /** Of STATE; by default a value that is not finite is marked as non-finite. */
  readonly states?: Uint8Array;
}

/** A dashed level that names itself. */
export interface Level {
  readonly value: number;
  readonly label: string;
  readonly severity?: Severity;
}

export type Entry = string | number | null;

export interface Table {
  readonly columns: readonly string[];
  readonly rowCount: number;
  /** Computed on demand: tables may have a million rows. */
  row(index: number): readonly Entry[];
  /** What it leaves out, in words; nothing where it is whole. */
  readonly note?: string;
}

/** The part of CanvasRenderingContext2D that charts use, so that one draw function serves screen, PNG and SVG. */
export type Painter = Pick<
  CanvasRenderingContext2D,
  | 'save'
  | 'restore'
  | 'translate'
  | 'beginPath'
  | 'closePath'
  | 'moveTo'
  | 'lineTo'
  | 'rect'
  | 'arc'
  | 'clip'
  | 'fill'
  | 'stroke'
  | 'fillRect'
  | 'strokeRect'
  | 'fillText'
  | 'strokeText'
  | 'measureText'
  | 'setLineDash'
  | 'fillStyle'
  | 'strokeStyle'
  | 'globalAlpha'
  | 'lineWidth'
  | 'lineJoin'
  | 'lineCap'
  | 'font'
  | 'textAlign'
  | 'textBaseline'
> & {
  drawImage(image: HTMLCanvasElement, x: number, y: number, width: number, height: number): void;
};

/** A chart that can be saved. */
export interface Exportable {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  draw(painter: Painter, width: number, height: number): void;
  table(): Table;
  /** The table with what has to be fetched first, for a file. */
  wholeTable?(): Promise<Table>;
}

/** What every chart takes. */
export interface ChartProps {
  /** Heading of exports and name for screen readers. */
  readonly title: string;
  /** Told in words what is under the cursor, for a live region. */
  readonly onReadout?: (words: string) => void;
  /** Holds what can be saved while the chart is mounted. */
  readonly exportRef?: { current: Exportable | null };
}

/** Changes a selection; what is left out stays. */
export type OnSelect = (change: Partial<Selection>) => void;
