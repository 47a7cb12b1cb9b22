/** How many steps were left out, beside the cross that marks them. */
import { countWords } from '../charts/skips';
import { skips } from '../state/scaling';
import { Close } from './icons';

export function SkipNote() {
  const words = countWords(skips.value);
  if (words === '') return null;
  return (
    <span class="skip-note" title={`${words}: it had found an infinite or NaN gradient`}>
      <Close />
      <span class="clip">{words}</span>
    </span>
  );
}
