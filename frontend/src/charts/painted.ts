/** A mark in the page's timeline for whoever measures how long the first picture takes. */
export const PAINTED = 'netviz:painted';

let painted = false;

/** Called when a picture with data has been drawn; the first call counts. */
export function markPainted(): void {
  if (!painted) performance.mark(PAINTED);
  painted = true;
}
