/** Notices that what was recorded is another thing now, as after a resume from an earlier step. */
import { effect } from '@preact/signals';
import * as selection from './selection';

/**
 * Forget what was read of the selected run whenever something in its list turns out to have changed.
 *
 * @param isChanged Whether something else stands in the place of what was known before.
 * @returns What ends it.
 */
export function whenRerecorded<T>(
  list: () => readonly T[],
  isChanged: (before: T, now: readonly T[]) => boolean,
  forget: () => void,
): () => void {
  let known: readonly T[] = [];
  let run = selection.run.peek();
  return effect(() => {
    const now = list();
    if (selection.run.value === run && known.some((one) => isChanged(one, now))) forget();
    known = now;
    run = selection.run.value;
  });
}
