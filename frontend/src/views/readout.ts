/** What is under the cursor, in words, for a live region. */
import { signal } from '@preact/signals';

export const readout = signal('');

let timer: ReturnType<typeof setTimeout> | undefined;

/** Say it once the cursor rests: a screen reader can't follow a moving one. */
export function say(words: string): void {
  clearTimeout(timer);
  timer = setTimeout(() => {
    readout.value = words;
  }, 250);
}
