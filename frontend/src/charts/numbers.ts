/** Numbers as people read them. */

/** "1,240"; windows of several steps give "1,240–1,259". */
export function formatSteps(first: number, last = first): string {
  return first === last ? formatCount(last) : `${formatCount(first)}–${formatCount(last)}`;
}

export function formatCount(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** Short label of a step on an axis: 800, 1k, 1.5k, 2M. */
export function formatStepTick(step: number): string {
  const size = Math.abs(step);
  if (size >= 1e6) return `${trim(step / 1e6, 3)}M`;
  if (size >= 1e3) return `${trim(step / 1e3, 3)}k`;
  return trim(step, 0);
}

/** A measured value with `digits` significant ones: 0.34, 12.5, 1.6e-5. */
export function formatValue(value: number, digits = 2): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '−∞';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-2) return minus(value.toExponential(digits - 1).replace('e+', 'e'));
  if (size >= 10 ** digits) return minus(Math.round(value).toLocaleString('en-US'));
  return minus(value.toPrecision(digits));
}

/** Label of a tick on a value axis: as few digits as say it. */
export function formatTick(value: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  const isPower = Math.abs(Math.log10(size) % 1) < 1e-9;
  if (size >= 1e5 || size < 1e-3 || (isPower && size < 1e-2))
    return minus(value.toExponential(1).replace('e+', 'e').replace('.0e', 'e'));
  return minus(String(Number(value.toPrecision(6))));
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
