/** What the run did: losses, the whole network's gradient norm, learning rates, on the axis of the picture above. */
import { useMemo } from 'preact/hooks';
import { formatCount, formatShare } from '../charts/numbers';
import { pageTheme } from '../charts/theme';
import type { Series as Curve, Insets, ScaleKind } from '../charts/types';
import type { Metric, Series } from '../data/types';
import { type Clipped, clipped } from '../state/scaling';
import { metrics, network } from '../state/store';
import { metricCurve, rowCurve } from './curves';
import { LinesFigure } from './lines-figure';
import { colour, labelOf, records } from './page';
import { runToken } from './swatch';

export interface Strip {
  readonly id: string;
  readonly label: string;
  readonly scale: ScaleKind;
  readonly curves: readonly Curve[];
  readonly height: number;
  /** A few words below the label. */
  readonly note?: string;
}

/** The strips that the run has data for. */
export function useStrips(): Strip[] {
  const all = metrics.value.value;
  const whole = network.value.value;
  const share = clipped.value;
  const theme = pageTheme().value;
  return useMemo(
    () =>
      [lossStrip(all ?? []), normStrip(whole, all ?? [], share), rateStrip(all ?? [])].filter(
        (strip) => strip !== null,
      ),
    [all, whole, share, theme],
  );
}

function lossStrip(all: readonly Metric[]): Strip | null {
  const train = withRole(all, 'train_loss');
  const val = withRole(all, 'val_loss');
  const curves = [
    ...train.map((metric, i) =>
      metricCurve(metric, { label: named(train, metric, 'train'), color: colour(runToken(i)) }),
    ),
    ...val.map((metric, i) =>
      metricCurve(metric, { label: named(val, metric, 'val'), color: colour(runToken(i)), dashed: true }),
    ),
  ];
  return curves.length === 0 ? null : { id: 'loss', label: 'Loss', scale: 'linear', curves, height: 68 };
}

/** The whole network's gradient, and where something clips it the one before that, which lies behind it. */
function normStrip(whole: Series | null, all: readonly Metric[], share: Clipped | null): Strip | null {
  if (whole === null) return null;
  const { label, scale } = labelOf(whole.statistic);
  const before = whole.statistic === 'gradient_norm' ? withRole(all, 'gradient_norm_before') : [];
  const curves = [
    ...before.map((metric) =>
      metricCurve(metric, {
        label: named(before, metric, 'before clipping'),
        color: colour(BEFORE),
        dashed: true,
      }),
    ),
    rowCurve(whole, 0, before.length > 0 ? 'applied' : ''),
  ];
  if (share === null) return { id: 'norm', label, scale, curves, height: 56 };
  return { id: 'norm', label, scale, curves, height: 72, note: clippedWords(share) };
}

/** "Clipped in 37 % of 128 observed steps" */
export function clippedWords({ share, steps }: Clipped): string {
  return `Clipped in ${formatShare(share)} of ${formatCount(steps)} observed steps`;
}

function rateStrip(all: readonly Metric[]): Strip | null {
  const rates = withRole(all, 'learning_rate');
  const curves = rates.map((metric, i) =>
    metricCurve(metric, { label: rates.length > 1 ? metric.name : '', color: colour(runToken(i)) }),
  );
  return curves.length === 0
    ? null
    : { id: 'rate', label: 'Learning rate', scale: 'linear', curves, height: 48 };
}

function withRole(all: readonly Metric[], role: string): Metric[] {
  return all.filter((metric) => metric.role === role);
}

/** A short word where there is one metric of its kind, its own name where there are several. */
function named(same: readonly Metric[], metric: Metric, short: string): string {
  return same.length > 1 ? metric.name : short;
}

/** Colour of what was before clipping. */
const BEFORE = 'run-3';

/** Between strips, and below the lowest one for the steps. */
const SPACE = 6;
const AXIS = 30;

export function Strips({ strips, insets }: { strips: readonly Strip[]; insets: Insets }) {
  return (
    <div class="strips">
      {strips.map(({ id, label, scale, curves, height, note }, index) => {
        const lowest = index === strips.length - 1;
        const bottom = lowest ? AXIS : SPACE;
        return (
          <div key={id} style={{ height: `${height - SPACE + bottom}px`, '--foot': `${bottom}px` }}>
            <LinesFigure
              title={label}
              class="strip"
              caption={note}
              series={curves}
              scale={scale}
              records={records.value}
              axis={lowest}
              insets={{ ...insets, top: SPACE, bottom }}
            />
          </div>
        );
      })}
    </div>
  );
}
