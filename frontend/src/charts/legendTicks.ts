/** Which values a colour bar names: both ends, and one to three between. */

import type { ValueScale } from './scale';

/** Room that a label needs. */
const LABEL = 44;

export function legendTicks({ kind, domain }: ValueScale, length: number): number[] {
  const [low, high] = domain;
  if (kind !== 'log') return [low, (low + high) / 2, high];
  const [first, last] = [Math.round(Math.log10(low)), Math.round(Math.log10(high))];
  const parts = partsOf(last - first, length);
  return Array.from({ length: parts + 1 }, (_, part) =>
    Number(`1e${first + Math.round(((last - first) * part) / parts)}`),
  );
}

/** Into how many parts the bar is divided: equal ones where the decades allow it. */
function partsOf(decades: number, length: number): number {
  const possible = [3, 4, 2].filter((parts) => parts <= decades && parts * LABEL <= length);
  return possible.find((parts) => decades % parts === 0) ?? possible[0] ?? Math.min(2, decades);
}
