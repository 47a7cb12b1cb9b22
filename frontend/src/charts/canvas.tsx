/** Canvases that follow their size, the screen's resolution and signals. */

import { effect, type ReadonlySignal, signal } from '@preact/signals';
import type { RefObject } from 'preact';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import type { Size } from './plot';
import type { Painter } from './types';

const NOTHING: Size = { width: 0, height: 0, ratio: 1 };

/** The size of an element; nothing while it is not laid out, as in a hidden tab. */
export function useSize(ref: RefObject<Element | null>): ReadonlySignal<Size> {
  const size = useMemo(() => signal(NOTHING), []);
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    let box: DOMRectReadOnly = new DOMRectReadOnly();
    const update = () => {
      size.value = { width: box.width, height: box.height, ratio: window.devicePixelRatio || 1 };
    };
    const observer = new ResizeObserver((entries) => {
      box = entries.at(-1)!.contentRect;
      update();
    });
    observer.observe(element);
    // The ratio changes without the size when a window moves to another screen.
    const resolution = matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
    resolution.addEventListener('change', update);
    return () => {
      observer.disconnect();
      resolution.removeEventListener('change', update);
    };
  }, [ref, size]);
  return size;
}

export interface CanvasLayerProps {
  readonly size: ReadonlySignal<Size>;
  /** Signals whose change calls for another drawing. */
  readonly watch: readonly ReadonlySignal<unknown>[];
  /** Always as many things whose change does so too; without them every render calls for another drawing. */
  readonly inputs?: readonly unknown[];
  readonly draw: (painter: Painter, size: Size) => void;
}

/** One canvas over the whole chart, drawn at most once a frame. */
export function CanvasLayer({ size, watch, inputs, draw }: CanvasLayerProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const latest = useRef(draw);
  latest.current = draw;
  const frame = useRef(0);
  const schedule = useMemo(
    () => () => {
      frame.current ||= requestAnimationFrame(() => {
        frame.current = 0;
        if (canvas.current) paint(canvas.current, size.peek(), latest.current);
      });
    },
    [size],
  );
  useEffect(schedule, inputs && [schedule, ...inputs]);
  useEffect(
    () =>
      effect(() => {
        for (const source of [size, ...watch]) source.value;
        schedule();
      }),
    [size, schedule, ...watch],
  );
  useEffect(() => () => cancelAnimationFrame(frame.current), []);
  return <canvas ref={canvas} class="chart-layer" />;
}

function paint(canvas: HTMLCanvasElement, size: Size, draw: CanvasLayerProps['draw']): void {
  if (size.width < 1 || size.height < 1) return;
  const width = Math.round(size.width * size.ratio);
  const height = Math.round(size.height * size.ratio);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext('2d');
  if (!context) return;
  context.setTransform(size.ratio, 0, 0, size.ratio, 0, 0);
  context.clearRect(0, 0, size.width, size.height);
  draw(context, size);
}
