/** Keeps the address and the selection the same. */
import { batch, effect } from '@preact/signals';
import { onHashChange, readHash, replaceHash } from '../lib/host';
import { visible } from './live';
import * as selection from './selection';
import { formatHash, parseHash } from './url';

export function syncAddress(): void {
  read();
  effect(() => {
    const link = selection.toLink();
    // While another tab is in sight, the address is that tab's.
    if (visible.value && isOurs()) replaceHash(formatHash(readHash(), link));
  });
  onHashChange(() => {
    if (!isOurs()) return;
    // TensorBoard's own link to our tab says nothing about the selection, so the selection stays.
    if (Object.keys(parseHash(readHash())).length > 0) read();
    else replaceHash(formatHash(readHash(), selection.toLink()));
  });
}

function read(): void {
  batch(() => selection.fromLink(parseHash(readHash())));
}

function isOurs(): boolean {
  return /^#?(netviz(&|$)|$)/.test(readHash());
}
