/** Keeps the address and the selection the same. */
import { batch, effect } from '@preact/signals';
import { onHashChange, readHash, replaceHash } from '../lib/host';
import * as selection from './selection';
import { formatHash, parseHash } from './url';

export function syncAddress(): void {
  const read = () => batch(() => selection.fromLink(parseHash(readHash())));
  read();
  effect(() => {
    const link = selection.toLink();
    // Another plugin's address must stay its own when a late answer changes our selection.
    if (isOurs(readHash())) replaceHash(formatHash(readHash(), link));
  });
  onHashChange(() => {
    if (isOurs(readHash())) read();
  });
}

function isOurs(hash: string): boolean {
  return hash === '' || hash === '#' || hash.startsWith('#netviz');
}
