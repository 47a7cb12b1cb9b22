/** The colour of a run, by its place among all runs. */
const COLOURS = 8;

export function Swatch({ index }: { index: number }) {
  return <i class="swatch" style={{ background: `var(--${runToken(index)})` }} aria-hidden="true" />;
}

/** Name of the colour of the run, or the curve, at a place. */
export function runToken(index: number): string {
  return `run-${(index % COLOURS) + 1}`;
}
