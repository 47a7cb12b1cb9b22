/** How the magnitudes of a layer's gradient are distributed at one step. */

import { useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { CanvasLayer, useSize } from '../canvas';
import { plotArea, type Size } from '../plot';
import { pageTheme } from '../theme';
import type { ChartProps, Insets } from '../types';
import {
  BAR_SPACE,
  binWords,
  type DistributionScene,
  drawBinChip,
  drawDistribution,
} from './drawDistribution';
import { type Bins, placesShown, placeWords, sharesOf } from './shares';

export interface DistributionProps extends ChartProps {
  readonly bins: Bins;
  /** [bins.count] Counts of sampled elements. */
  readonly counts: ArrayLike<number>;
  /** Another distribution, drawn as an outline. */
  readonly reference?: { readonly counts: ArrayLike<number>; readonly label: string };
  readonly insets?: Insets;
  readonly empty?: string;
}

const INSETS: Insets = { left: 4, right: 4, top: BAR_SPACE, bottom: 22 };

export function Distribution(props: DistributionProps) {
  const { bins, counts, insets = INSETS } = props;
  const root = useRef<HTMLDivElement>(null);
  const size = useSize(root);
  const theme = pageTheme();
  const hover = useSignal<number | null>(null);
  const shares = useMemo(() => sharesOf(counts, bins), [counts, bins]);
  const reference = useMemo(
    () => props.reference && { label: props.reference.label, shares: sharesOf(props.reference.counts, bins) },
    [props.reference, bins],
  );
  const places = useMemo(
    () => placesShown(reference ? [shares, reference.shares] : [shares], shares.byExponent.length),
    [shares, reference],
  );
  const scene = (box: Pick<Size, 'width' | 'height'>, place: number | null): DistributionScene => ({
    theme: theme.value,
    plot: plotArea(box, insets),
    bins,
    shares,
    reference: reference ?? null,
    places,
    hover: place,
    empty: props.empty ?? 'No magnitudes were counted near this step',
  });
  const show = (place: number | null) => {
    hover.value = place === null ? null : Math.min(places[1], Math.max(places[0], place));
    if (hover.value !== null) props.onReadout?.(`${props.title}: ${binWords({ shares, bins }, hover.value)}`);
  };
  useEffect(() => {
    if (!props.exportRef) return;
    props.exportRef.current = {
      name: props.title,
      ...size.peek(),
      draw: (painter, width, height) => drawDistribution(painter, scene({ width, height }, null)),
      table: () => ({
        columns: ['magnitude', 'sampled elements'],
        rowCount: bins.count,
        row: (bin) => [binName(bin, bins), counts[bin] ?? 0],
      }),
    };
  });
  return (
    <div
      ref={root}
      class="chart"
      role="application"
      aria-roledescription="histogram"
      aria-label={`${props.title}: magnitudes by power of two, ${shares.samples} sampled elements. Left and right arrows move through the bins.`}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: one stop of the tab key, moved through with the arrows
      tabIndex={0}
      onKeyDown={(event) => {
        const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (event.key === 'Escape' && hover.value !== null) show(null);
        else if (by !== undefined) show((hover.value ?? places[0]) + by);
        else return;
        event.preventDefault();
        event.stopPropagation();
      }}
      onPointerMove={(event) => {
        const { left, right } = plotArea(size.peek(), insets);
        const x = event.clientX - root.current!.getBoundingClientRect().left;
        const share = (x - left) / (right - left);
        show(share < 0 || share >= 1 ? null : places[0] + Math.floor(share * (places[1] - places[0] + 1)));
      }}
      onPointerLeave={() => show(null)}
    >
      <CanvasLayer
        size={size}
        watch={[theme, hover]}
        draw={(painter, box) => {
          const current = scene(box, hover.peek());
          drawDistribution(painter, current);
          drawBinChip(painter, current);
        }}
      />
    </div>
  );
}

function binName(bin: number, bins: Bins): string {
  if (bin === bins.zero) return 'zero';
  if (bin === bins.nonfinite) return 'NaN or infinite';
  if (bin === bins.below) return placeWords(0, bins);
  return placeWords(bin - bins.first + 1, bins);
}
