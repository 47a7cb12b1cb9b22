/** What stands in the place of a view that can't be drawn: what is the matter, and what to do. */
import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useMemo, useRef } from 'preact/hooks';
import { retry } from '../state/store';
import { Check, Copy } from './icons';
import { sentence } from './words';

export function Notice({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section class="notice" aria-label={title}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

export function Retry() {
  return (
    <button type="button" class="control" onClick={retry}>
      Try again
    </button>
  );
}

/** In the place of what could not be read. */
export function Unreadable({ what, words }: { what: string; words: string }) {
  return (
    <Notice title={`The ${what} can’t be read`}>
      <p>{sentence(words)}</p>
      <p>What else was recorded of this run is not affected.</p>
      <Retry />
    </Notice>
  );
}

/** A line on what failed while something is shown. */
export function Failures({ words }: { words: readonly string[] }) {
  if (words.length === 0) return null;
  return (
    <span class="warning" role="status">
      {words.map(sentence).join(' ')}{' '}
      <button type="button" class="link" onClick={retry}>
        Try again
      </button>
    </span>
  );
}

const ATTACH = `from tb_netviz.pytorch import NetVizWriter

with NetVizWriter("runs/my-run") as writer:
    writer.watch(model, optimizer)
    …  # your training loop, unchanged`;

export function NoData() {
  return (
    <Notice title="No run has been recorded here yet">
      <p>Attach the writer to your training script, and this page fills while it trains:</p>
      <Code text={ATTACH} />
      <p>
        Then point TensorBoard at the folder above the run. Or train three small networks to look at first:
      </p>
      <Code text="tb-netviz demo --logdir runs" />
      <p class="secondary">This page looks for new runs by itself.</p>
    </Notice>
  );
}

/** Lines that can be copied; where the browser refuses that, they are selected for the reader to copy. */
export function Code({ text }: { text: string }) {
  const copied = useMemo(() => signal(false), []);
  const lines = useRef<HTMLPreElement>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      window.getSelection()?.selectAllChildren(lines.current!);
      return;
    }
    copied.value = true;
    setTimeout(() => {
      copied.value = false;
    }, 2000);
  };
  return (
    <div class="code">
      <pre ref={lines}>{text}</pre>
      <button
        type="button"
        class="icon-button"
        aria-label={copied.value ? 'Copied' : 'Copy'}
        title="Copy"
        onClick={copy}
      >
        {copied.value ? <Check /> : <Copy />}
      </button>
    </div>
  );
}
