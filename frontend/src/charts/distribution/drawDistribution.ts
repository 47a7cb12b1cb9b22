/** Magnitudes by power of two, with the share that is zero or not finite as a bar above them. */

import { formatCount, formatShare } from '../numbers';
import { AXIS_TEXT, BODY_TEXT, chip, hairline, textWidth, write } from '../paint';
import type { Plot } from '../plot';
import type { Theme } from '../theme';
import type { Domain, Painter } from '../types';
import { type Bins, placeWords, type Shares } from './shares';

export interface DistributionScene {
  readonly theme: Theme;
  readonly plot: Plot;
  readonly bins: Bins;
  readonly shares: Shares;
  readonly reference: { readonly shares: Shares; readonly label: string } | null;
  /** First and last place that is drawn. */
  readonly places: Domain;
  /** Place under the pointer, or null. */
  readonly hover: number | null;
  readonly empty: string;
}

const BAR = 8;
/** Height of the bar of shares with its words. */
export const BAR_SPACE = 44;
const TICK_WIDTH = 44;

export function drawDistribution(painter: Painter, scene: DistributionScene): void {
  const { plot, theme, shares } = scene;
  if (!shares.samples) {
    const middle = [(plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2] as const;
    write(painter, theme, scene.empty, ...middle, {
      color: theme.token['text-3'],
      size: BODY_TEXT,
      align: 'center',
    });
    return;
  }
  drawShares(painter, scene);
  drawBins(painter, scene);
  if (scene.reference) drawReference(painter, scene, scene.reference);
  drawPowers(painter, scene);
}

/** Pixel of the left edge of a place. */
export function placeX({ plot, places }: Pick<DistributionScene, 'plot' | 'places'>, place: number): number {
  return plot.left + ((place - places[0]) / (places[1] - places[0] + 1)) * (plot.right - plot.left);
}

function drawShares(painter: Painter, { plot, theme, shares }: DistributionScene): void {
  const width = plot.right - plot.left;
  const rest = 1 - shares.zero - shares.nonfinite;
  const parts = [
    { share: shares.zero, color: theme.token['text-3'] },
    { share: shares.nonfinite, color: theme.token['cell-nan'] },
    { share: rest, color: theme.token['run-1'] },
  ].filter(({ share }) => share > 0);
  let x = plot.left;
  for (const { share, color } of parts) {
    const length = Math.max(2, share * width - (parts.length > 1 ? 1 : 0));
    painter.fillStyle = color;
    painter.fillRect(x, 0, Math.min(length, plot.right - x), BAR);
    x += share * width;
  }
  const y = BAR + 12;
  const zero = `${formatShare(shares.zero)} exactly zero`;
  write(painter, theme, zero, plot.left, y, { color: theme.token['text-2'] });
  if (shares.nonfinite > 0) {
    const left = plot.left + textWidth(painter, theme, zero) + 12;
    write(painter, theme, `${formatShare(shares.nonfinite)} NaN or infinite`, left, y, {
      color: theme.token.critical,
      weight: 500,
    });
  }
  write(painter, theme, `${formatCount(shares.samples)} sampled`, plot.right, y, {
    color: theme.token['text-3'],
    align: 'right',
  });
}

/** Heights of one distribution: both have the same area, so that shapes compare whatever share is zero. */
function heightOf(scene: DistributionScene, shares: Shares): (place: number) => number {
  const relative = ({ byExponent }: Shares) => {
    const total = byExponent.reduce((sum, share) => sum + share, 0) || 1;
    return byExponent.map((share) => share / total);
  };
  const all = [scene.shares, ...(scene.reference ? [scene.reference.shares] : [])];
  const tallest = Math.max(...all.flatMap((one) => [...relative(one)])) || 1;
  const own = relative(shares);
  return (place) => (own[place]! / tallest) * (scene.plot.bottom - scene.plot.top);
}

function drawBins(painter: Painter, scene: DistributionScene): void {
  const { plot, theme, shares, places } = scene;
  const height = heightOf(scene, shares);
  for (let place = places[0]; place <= places[1]; place++) {
    const share = shares.byExponent[place]!;
    if (!share) continue;
    const left = Math.round(placeX(scene, place));
    const width = Math.max(1, Math.round(placeX(scene, place + 1)) - left - 1);
    const tall = Math.max(1, height(place));
    painter.fillStyle = theme.token['run-1'];
    painter.globalAlpha = scene.hover === null || scene.hover === place ? 1 : 0.6;
    painter.fillRect(left, plot.bottom - tall, width, tall);
  }
  painter.globalAlpha = 1;
}

function drawReference(
  painter: Painter,
  scene: DistributionScene,
  { shares, label }: { shares: Shares; label: string },
): void {
  const { plot, theme, places } = scene;
  const height = heightOf(scene, shares);
  painter.strokeStyle = theme.token['text-2'];
  painter.lineWidth = 1;
  painter.setLineDash([]);
  painter.beginPath();
  painter.moveTo(placeX(scene, places[0]), plot.bottom);
  let tallest = places[0];
  for (let place = places[0]; place <= places[1]; place++) {
    const y = plot.bottom - height(place);
    painter.lineTo(placeX(scene, place), y);
    painter.lineTo(placeX(scene, place + 1), y);
    if (shares.byExponent[place]! > shares.byExponent[tallest]!) tallest = place;
  }
  painter.lineTo(plot.right, plot.bottom);
  painter.stroke();
  const half = textWidth(painter, theme, label) / 2;
  const x = Math.min(plot.right - half, Math.max(plot.left + half, placeX(scene, tallest + 0.5)));
  const y = Math.max(plot.top - 6, plot.bottom - height(tallest) - 8);
  write(painter, theme, label, x, y, { color: theme.token['text-2'], align: 'center', halo: theme.token.bg });
}

function drawPowers(painter: Painter, scene: DistributionScene): void {
  const { plot, theme, places, bins } = scene;
  hairline(painter, [plot.left, plot.bottom], [plot.right, plot.bottom], theme.token['border-strong']);
  const room = Math.max(1, (plot.right - plot.left) / TICK_WIDTH);
  const count = places[1] - places[0] + 1;
  const every = [1, 2, 4, 8, 16, 32].find((stride) => count / stride <= room) ?? 64;
  for (let place = Math.max(1, places[0]); place <= places[1]; place++) {
    const exponent = bins.lowest_exponent + place - 1;
    if (exponent % every !== 0) continue;
    const x = placeX(scene, place);
    if (x < plot.left + 8 || x > plot.right - 8) continue;
    hairline(painter, [x, plot.bottom], [x, plot.bottom + 3], theme.token['border-strong']);
    writePower(painter, theme, exponent, x, plot.bottom + 13);
  }
}

/** 2 with a raised exponent, centred at `x`. */
function writePower(painter: Painter, theme: Theme, exponent: number, x: number, y: number): void {
  const raised = String(exponent).replace('-', '−');
  const base = textWidth(painter, theme, '2', { size: AXIS_TEXT });
  const left = x - (base + textWidth(painter, theme, raised, { size: 8 })) / 2;
  const color = theme.token['text-3'];
  write(painter, theme, '2', left, y, { color, size: AXIS_TEXT });
  write(painter, theme, raised, left + base + 0.5, y - 4, { color, size: 8 });
}

/** A chip with the bin under the pointer. */
export function drawBinChip(painter: Painter, scene: DistributionScene): void {
  if (scene.hover === null || !scene.shares.samples) return;
  const { plot, theme } = scene;
  chip(
    painter,
    theme,
    binWords(scene, scene.hover),
    placeX(scene, scene.hover + 0.5),
    plot.top - 20,
    plot.left,
    plot.right,
  );
}

export function binWords(
  { shares, bins }: Pick<DistributionScene, 'shares' | 'bins'>,
  place: number,
): string {
  const share = shares.byExponent[place] ?? 0;
  return `${placeWords(place, bins)} · ${formatCount(share * shares.samples)} · ${formatShare(share)}`;
}
