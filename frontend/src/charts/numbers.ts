/** Numbers as people read them. */

/** From here on, and below there, digits are counted by an exponent. */
const LONG = 1e6;
const SHORT = 1e-3;
/** Characters that the margin of an axis holds. */
const WIDE = 6;

/** Making one costs more than using it a thousand times. */
const COUNT = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const PLAIN = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 15 });

/** "1,240"; windows of several steps give "1,240–1,259". */
export function formatSteps(first: number, last = first): string {
  return first === last ? formatCount(last) : `${formatCount(first)}–${formatCount(last)}`;
}

export function formatCount(value: number): string {
  return minus(COUNT.format(Math.round(value)));
}

/** Short label of a step on an axis: 800, 1k, 1.5k, 2M. */
export function formatStepTick(step: number): string {
  const size = Math.abs(step);
  if (size >= 1e6) return `${trim(step / 1e6, 3)}M`;
  if (size >= 1e3) return `${trim(step / 1e3, 3)}k`;
  return trim(step, 0);
}

/** A measured value with `digits` significant ones and no zeros after them: 0.34, 0.01, 12,345, 1.6e-5. */
export function formatValue(value: number, digits = 2): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '−∞';
  const rounded = Number(value.toPrecision(digits));
  const size = Math.abs(rounded);
  if (size >= LONG || (size < SHORT && size > 0)) return minus(scientific(rounded, digits));
  return size >= 10 ** digits ? formatCount(value) : minus(PLAIN.format(rounded));
}

/** Label of a tick on a value axis: as few digits as say it, and by an exponent where that fits the margin better. */
export function formatTick(value: number): string {
  const plain = formatValue(value, 6);
  if (plain.length <= WIDE || !Number.isFinite(value)) return plain;
  const short = minus(scientific(value, 6));
  return short.length < plain.length ? short : plain;
}

/** "1.6e-5", "6e7" */
function scientific(value: number, digits: number): string {
  const [mantissa, exponent] = value.toExponential(digits - 1).split('e');
  return `${Number(mantissa)}e${Number(exponent)}`;
}

/** "62 %", with a digit more near the ends, where it matters. */
export function formatShare(share: number): string {
  const percent = share * 100;
  if (percent === 0 || percent === 100) return `${percent} %`;
  if (percent < 0.1) return '< 0.1 %';
  if (percent > 99.9) return '> 99.9 %';
  return `${percent.toFixed(percent < 10 || percent > 90 ? 1 : 0)} %`;
}

function trim(value: number, digits: number): string {
  return minus(String(Number(value.toFixed(digits))));
}

function minus(text: string): string {
  return text.startsWith('-') ? `−${text.slice(1)}` : text;
}
