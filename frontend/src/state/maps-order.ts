/** Which maps are shown, and in which order. */

export type MapSort = 'index' | 'strength';
export type MapShow = 'all' | 'active' | 'silent' | 'nonfinite';

/** Numbers of maps that a reader has typed. */
export interface MapNumbers {
  readonly test: (index: number) => boolean;
  /** Why they can't be read, in words. */
  readonly error: string | null;
}

const EVERY = () => true;

/** "3, 8-15" as a test; what can't be read lets every map through. */
export function parseNumbers(text: string): MapNumbers {
  const parts = text.split(/[\s,;]+/).filter((part) => part !== '');
  if (parts.length === 0) return { test: EVERY, error: null };
  const ranges: [number, number][] = [];
  for (const part of parts) {
    const match = /^(\d+)(?:[-–](\d*))?$/.exec(part);
    if (match === null)
      return { test: EVERY, error: 'Type numbers of maps, such as 3, 8-15. All are shown.' };
    const open = match[2] === '' ? Number.POSITIVE_INFINITY : Number(match[2] ?? match[1]);
    ranges.push([Number(match[1]), open]);
  }
  return { test: (index) => ranges.some(([from, to]) => index >= from && index <= to), error: null };
}

const SHOWN: Readonly<Record<MapShow, (strength: number) => boolean>> = {
  all: EVERY,
  active: (strength) => strength > 0,
  silent: (strength) => strength === 0,
  nonfinite: (strength) => !Number.isFinite(strength),
};

/**
 * Indices of the maps to show.
 *
 * @param strength Of every map; without it nothing is sorted or left out by it.
 */
export function orderMaps(
  count: number,
  strength: Float32Array | null,
  { sort, show, numbers }: { readonly sort: MapSort; readonly show: MapShow; readonly numbers: MapNumbers },
): number[] {
  const shown = Array.from({ length: count }, (_, index) => index).filter(
    (index) => numbers.test(index) && (strength === null || SHOWN[show](strength[index]!)),
  );
  if (sort === 'index' || strength === null) return shown;
  // What is not finite is the strongest of all: it stands where one looks first.
  const rank = (index: number) =>
    Number.isFinite(strength[index]!) ? strength[index]! : Number.POSITIVE_INFINITY;
  return shown.sort((a, b) => (rank(a) === rank(b) ? a - b : rank(b) - rank(a)));
}
