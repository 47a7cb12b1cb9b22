/** Where an axis has its ticks. */

import type { Domain } from './types';

/** Round values inside `domain`, at most about `count` of them. */
export function linearTicks([low, high]: Domain, count: number): number[] {
  if (!(high > low) || count < 1) return Number.isFinite(low) ? [low] : [];
  const step = roundStep((high - low) / count);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => clean((first + index) * step));
}

/** As `linearTicks`, but two at least where the domain allows it: one tick alone says nothing about the scale. */
export function scaleTicks(domain: Domain, count: number): number[] {
  for (let wanted = count; wanted < count + 6; wanted++) {
    const ticks = linearTicks(domain, wanted);
    if (ticks.length > 1) return ticks;
  }
  return [...domain];
}

/** `domain` widened to round ends, about `count` steps apart. */
export function roundDomain([low, high]: Domain, count: number): Domain {
  const step = roundStep((high - low) / count);
  return [clean(Math.floor(low / step + 1e-9) * step), clean(Math.ceil(high / step - 1e-9) * step)];
}

/** As `linearTicks`, for steps: whole numbers only. */
export function stepTicks(domain: Domain, count: number): number[] {
  return linearTicks(domain, count).filter(Number.isInteger);
}

/** Powers of ten inside `domain`, both above zero, thinned to at most `count`. */
export function logTicks([low, high]: Domain, count: number): number[] {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  const decades = last - first;
  const stride = [1, 2, 3, 5, 10, 20].find((every) => decades / every + 1 <= count) ?? Math.max(1, decades);
  const start = Math.ceil(first / stride) * stride;
  const ticks: number[] = [];
  for (let exponent = start; exponent <= last; exponent += stride) ticks.push(Number(`1e${exponent}`));
  return ticks;
}

function roundStep(raw: number): number {
  const power = 10 ** Math.floor(Math.log10(raw));
  const ratio = raw / power;
  const factor = ratio <= 1.0001 ? 1 : ratio <= 2.0001 ? 2 : ratio <= 5.0001 ? 5 : 10;
  return factor * power;
}

/** Without the dust of binary fractions: 0.30000000000000004 is 0.3. */
function clean(value: number): number {
  return Number(value.toPrecision(12));
}
