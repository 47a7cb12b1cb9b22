/** The colour of a run, by its place among all runs. */
const COLOURS = 8;

export function Swatch({ index }: { index: number }) {
  return <i class="swatch" style={{ background: runColour(index) }} aria-hidden="true" />;
}

export function runColour(index: number): string {
  return `var(--run-${(index % COLOURS) + 1})`;
}
