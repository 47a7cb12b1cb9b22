/** Scrolling of rows that do not fitText, by wheel and touch, and to the selected row. */

import { type Signal, useSignal } from '@preact/signals';
import type { RefObject } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { rowOf } from '../layout';
import type { RowLayout } from '../types';

const MARGIN = 24;

export interface Scroll {
  readonly scroll: Signal<number>;
  readonly scroller: RefObject<HTMLDivElement | null>;
  onScroll(): void;
}

/** The offset of content of `layout` in `height` pixels; brings `selected` into view when it changes. */
export function useScroll(layout: RowLayout, height: number, selected: number | null): Scroll {
  const scroll = useSignal(0);
  const scroller = useRef<HTMLDivElement>(null);
  const farthest = Math.max(0, layout.height - height);
  useEffect(() => {
    const row = layout.rows[rowOf(layout, selected)];
    const wanted = row ? offsetFor(scroll.peek(), row.y, row.height, height) : scroll.peek();
    scroll.value = Math.min(farthest, Math.max(0, wanted));
    if (scroller.current) scroller.current.scrollTop = scroll.peek();
  }, [layout, height, selected, farthest, scroll]);
  const onScroll = () => {
    scroll.value = Math.min(farthest, Math.max(0, scroller.current?.scrollTop ?? 0));
  };
  return { scroll, scroller, onScroll };
}

/** The offset nearest to `scroll` at which a row from `y` is in view with a little more. */
export function offsetFor(scroll: number, y: number, rowHeight: number, height: number): number {
  const margin = Math.min(MARGIN, Math.max(0, (height - rowHeight) / 2));
  return Math.min(y - margin, Math.max(scroll, y + rowHeight + margin - height));
}
