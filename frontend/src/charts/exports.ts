/** A chart as a file: picture, drawing, numbers. */

import { csvParts } from './csv';
import { write } from './paint';
import { SvgPainter } from './svg';
import { pageTheme } from './theme';
import type { Exportable, Painter } from './types';

const MARGIN = 16;
const HEADING = 32;
/** Pixels of the picture to one of CSS. */
const RESOLUTION = 2;

export async function savePng(chart: Exportable): Promise<void> {
  const canvas = document.createElement('canvas');
  canvas.width = Math.round(paperWidth(chart) * RESOLUTION);
  canvas.height = Math.round(paperHeight(chart) * RESOLUTION);
  const context = canvas.getContext('2d');
  if (!context) return;
  context.scale(RESOLUTION, RESOLUTION);
  drawPaper(context, chart);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, 'image/png'));
  if (blob) download(blob, fileName(chart.name, 'png'));
}

export function saveSvg(chart: Exportable): void {
  download(new Blob([toSvg(chart)], { type: 'image/svg+xml' }), fileName(chart.name, 'svg'));
}

export async function saveCsv(chart: Pick<Exportable, 'name' | 'table' | 'wholeTable'>): Promise<void> {
  const table = chart.wholeTable ? await chart.wholeTable() : chart.table();
  const name = table.note === undefined ? chart.name : `${chart.name}, ${table.note}`;
  download(new Blob(csvParts(table), { type: 'text/csv;charset=utf-8' }), fileName(name, 'csv'));
}

/** The chart as an SVG document, with background and title. */
export function toSvg(chart: Exportable): string {
  const ruler = document.createElement('canvas').getContext('2d')!;
  const painter = new SvgPainter((text, font) => {
    ruler.font = font;
    return ruler.measureText(text);
  });
  drawPaper(painter, chart);
  return painter.document(paperWidth(chart), paperHeight(chart), chart.name);
}

const paperWidth = (chart: Exportable) => chart.width + 2 * MARGIN;
const paperHeight = (chart: Exportable) => chart.height + 2 * MARGIN + HEADING;

function drawPaper(painter: Painter, chart: Exportable): void {
  const theme = pageTheme().peek();
  painter.fillStyle = theme.token.bg;
  painter.fillRect(0, 0, paperWidth(chart), paperHeight(chart));
  write(painter, theme, chart.name, MARGIN, MARGIN + 10, { color: theme.token.text, size: 14, weight: 500 });
  painter.save();
  painter.translate(MARGIN, MARGIN + HEADING);
  chart.draw(painter, chart.width, chart.height);
  painter.restore();
}

/** A name that every file system takes. */
export function fileName(name: string, extension: string): string {
  const stem = name
    .replace(/[^\p{L}\p{N}.-]+/gu, '-')
    .replace(/^[-.]+|[-.]+$/g, '')
    .slice(0, 80);
  return `${stem || 'chart'}.${extension}`;
}

function download(blob: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
