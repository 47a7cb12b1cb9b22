/** A cloud as a file. */
import { pageTheme } from '../theme';
import type { Exportable, Table } from '../types';
import { pointCount } from './extent';
import type { CloudData } from './types';

/** Pixels of the picture to one of CSS. */
export const RESOLUTION = 2;

/** A chart as it is seen, on the background of the page, without heading. */
export function toPng(chart: Pick<Exportable, 'width' | 'height' | 'draw'>): Promise<Blob> {
  const canvas = document.createElement('canvas');
  canvas.width = Math.round(chart.width * RESOLUTION);
  canvas.height = Math.round(chart.height * RESOLUTION);
  const context = canvas.getContext('2d')!;
  context.scale(RESOLUTION, RESOLUTION);
  context.fillStyle = pageTheme().peek().token.bg;
  context.fillRect(0, 0, chart.width, chart.height);
  chart.draw(context, chart.width, chart.height);
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('the picture is too large')))),
  );
}

/** Where each point is, in the record that is nearer. */
export function positionsTable(data: CloudData): Table {
  const { from, to, dims, mix, shown, selected } = data;
  const positions = mix < 0.5 ? from : to;
  return {
    columns: ['Point', ...['x', 'y', 'z'].slice(0, dims), 'Shown', 'Selected'],
    rowCount: pointCount(data),
    row: (index) => [
      index,
      ...positions.subarray(index * dims, (index + 1) * dims),
      shown[index] ? 'yes' : 'no',
      selected[index] ? 'yes' : 'no',
    ],
  };
}
