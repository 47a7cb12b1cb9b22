/** A painter that writes SVG: the few calls of a canvas that charts make. */

import type { Painter } from './types';

interface Pen {
  fillStyle: Painter['fillStyle'];
  strokeStyle: Painter['strokeStyle'];
  globalAlpha: number;
  lineWidth: number;
  lineJoin: CanvasLineJoin;
  lineCap: CanvasLineCap;
  font: string;
  textAlign: CanvasTextAlign;
  textBaseline: CanvasTextBaseline;
  dash: readonly number[];
  offset: readonly [number, number];
  /** Groups that were opened since the last save. */
  groups: number;
}

const FRESH: Pen = {
  fillStyle: '#000',
  strokeStyle: '#000',
  globalAlpha: 1,
  lineWidth: 1,
  lineJoin: 'miter',
  lineCap: 'butt',
  font: '10px sans-serif',
  textAlign: 'left',
  textBaseline: 'alphabetic',
  dash: [],
  offset: [0, 0],
  groups: 0,
};

const ANCHOR: Partial<Record<CanvasTextAlign, string>> = { center: 'middle', right: 'end', end: 'end' };

export class SvgPainter implements Painter {
  #pen: Pen = { ...FRESH };
  readonly #stack: Pen[] = [];
  readonly #out: string[] = [];
  readonly #measure: (text: string, font: string) => TextMetrics;
  #path = '';
  #clips = 0;

  /** Text is measured by `measure`, for SVG by itself cannot. */
  constructor(measure: (text: string, font: string) => TextMetrics) {
    this.#measure = measure;
  }

  /** The whole document. */
  document(width: number, height: number, title: string): string {
    const size = `width="${number(width)}" height="${number(height)}" viewBox="0 0 ${number(width)} ${number(height)}"`;
    const open = '</g>'.repeat(this.#pen.groups);
    return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img"><title>${escapeXml(title)}</title>${this.#out.join('')}${open}</svg>\n`;
  }

  save(): void {
    this.#stack.push({ ...this.#pen });
    this.#pen.groups = 0;
  }

  restore(): void {
    const before = this.#stack.pop();
    if (!before) return;
    this.#out.push('</g>'.repeat(this.#pen.groups));
    this.#pen = before;
  }

  translate(x: number, y: number): void {
    this.#pen.offset = [this.#pen.offset[0] + x, this.#pen.offset[1] + y];
  }

  beginPath(): void {
    this.#path = '';
  }

  closePath(): void {
    this.#path += 'Z';
  }

  moveTo(x: number, y: number): void {
    this.#path += `M${this.#point(x, y)}`;
  }

  lineTo(x: number, y: number): void {
    this.#path += `${this.#path ? 'L' : 'M'}${this.#point(x, y)}`;
  }

  rect(x: number, y: number, width: number, height: number): void {
    this.#path += `M${this.#point(x, y)}h${number(width)}v${number(height)}h${number(-width)}Z`;
  }

  /** Only whole circles. */
  arc(x: number, y: number, radius: number): void {
    const half = (side: number) =>
      `a${number(radius)} ${number(radius)} 0 1 1 ${number(side * 2 * radius)} 0`;
    this.#path += `M${this.#point(x - radius, y)}${half(1)}${half(-1)}Z`;
  }

  clip(): void {
    const id = `clip-${++this.#clips}`;
    this.#out.push(`<clipPath id="${id}"><path d="${this.#path}"/></clipPath><g clip-path="url(#${id})">`);
    this.#pen.groups++;
  }

  fill(): void {
    this.#element('path', `d="${this.#path}" ${this.#fillAttributes()}`);
  }

  stroke(): void {
    this.#element('path', `d="${this.#path}" fill="none" ${this.#strokeAttributes()}`);
  }

  fillRect(x: number, y: number, width: number, height: number): void {
    this.#element('rect', `${this.#box(x, y, width, height)} ${this.#fillAttributes()}`);
  }

  strokeRect(x: number, y: number, width: number, height: number): void {
    this.#element('rect', `${this.#box(x, y, width, height)} fill="none" ${this.#strokeAttributes()}`);
  }

  fillText(text: string, x: number, y: number): void {
    this.#text(text, x, y, this.#fillAttributes());
  }

  strokeText(text: string, x: number, y: number): void {
    this.#text(text, x, y, `fill="none" ${this.#strokeAttributes()}`);
  }

  measureText(text: string): TextMetrics {
    return this.#measure(text, this.font);
  }

  setLineDash(dash: Iterable<number>): void {
    this.#pen.dash = [...dash];
  }

  drawImage(image: HTMLCanvasElement, x: number, y: number, width: number, height: number): void {
    const href = image.toDataURL('image/png');
    this.#element('image', `${this.#box(x, y, width, height)} preserveAspectRatio="none" href="${href}"`);
  }

  get fillStyle() {
    return this.#pen.fillStyle;
  }
  set fillStyle(style: Painter['fillStyle']) {
    this.#pen.fillStyle = style;
  }
  get strokeStyle() {
    return this.#pen.strokeStyle;
  }
  set strokeStyle(style: Painter['strokeStyle']) {
    this.#pen.strokeStyle = style;
  }
  get globalAlpha() {
    return this.#pen.globalAlpha;
  }
  set globalAlpha(alpha: number) {
    this.#pen.globalAlpha = alpha;
  }
  get lineWidth() {
    return this.#pen.lineWidth;
  }
  set lineWidth(width: number) {
    this.#pen.lineWidth = width;
  }
  get lineJoin() {
    return this.#pen.lineJoin;
  }
  set lineJoin(join: CanvasLineJoin) {
    this.#pen.lineJoin = join;
  }
  get lineCap() {
    return this.#pen.lineCap;
  }
  set lineCap(cap: CanvasLineCap) {
    this.#pen.lineCap = cap;
  }
  get font() {
    return this.#pen.font;
  }
  set font(font: string) {
    this.#pen.font = font;
  }
  get textAlign() {
    return this.#pen.textAlign;
  }
  set textAlign(align: CanvasTextAlign) {
    this.#pen.textAlign = align;
  }
  get textBaseline() {
    return this.#pen.textBaseline;
  }
  set textBaseline(baseline: CanvasTextBaseline) {
    this.#pen.textBaseline = baseline;
  }

  #element(name: string, attributes: string): void {
    const alpha = this.globalAlpha === 1 ? '' : ` opacity="${number(this.globalAlpha)}"`;
    this.#out.push(`<${name} ${attributes}${alpha}/>`);
  }

  #text(text: string, x: number, y: number, paint: string): void {
    const [left, top] = this.#shifted(x, y);
    const anchor = ANCHOR[this.textAlign] ?? 'start';
    const baseline = this.textBaseline === 'middle' ? ' dy=".35em"' : '';
    const style = escapeXml(`font:${this.font};white-space:pre`);
    this.#out.push(
      `<text x="${number(left)}" y="${number(top)}"${baseline} text-anchor="${anchor}" style="${style}" ${paint}>${escapeXml(text)}</text>`,
    );
  }

  #fillAttributes(): string {
    return `fill="${escapeXml(String(this.fillStyle))}"`;
  }

  #strokeAttributes(): string {
    const dash = this.#pen.dash.length ? ` stroke-dasharray="${this.#pen.dash.map(number).join(' ')}"` : '';
    const ends = `stroke-linejoin="${this.lineJoin}" stroke-linecap="${this.lineCap}"`;
    return `stroke="${escapeXml(String(this.strokeStyle))}" stroke-width="${number(this.lineWidth)}" ${ends}${dash}`;
  }

  #shifted(x: number, y: number): [number, number] {
    return [x + this.#pen.offset[0], y + this.#pen.offset[1]];
  }

  #point(x: number, y: number): string {
    return this.#shifted(x, y).map(number).join(' ');
  }

  #box(x: number, y: number, width: number, height: number): string {
    const [left, top] = this.#shifted(x, y);
    return `x="${number(left)}" y="${number(top)}" width="${number(width)}" height="${number(height)}"`;
  }
}

function number(value: number): string {
  return String(Number(value.toFixed(2)));
}

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
/** Neither control characters nor halves of surrogate pairs may stand in XML, not even escaped. */
const FORBIDDEN = /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu;

export function escapeXml(text: string): string {
  return text.replace(FORBIDDEN, '\u{fffd}').replace(/[&<>"']/g, (letter) => ENTITIES[letter]!);
}
