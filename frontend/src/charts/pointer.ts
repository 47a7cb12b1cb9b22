/** Mouse and touch over the axis of steps: hover, click, drag to zoom, Shift-drag to pan, double click to reset. */

import { type Signal, signal } from '@preact/signals';
import type { RefObject } from 'preact';
import { useMemo, useRef } from 'preact/hooks';
import { type Plot, stepAt } from './plot';
import type { Domain, StepDomain } from './types';
import { panBy, visibleSteps, zoomAround, zoomTo } from './zoom';

/** A pointer that moved less has clicked. */
const CLICK = 4;

export interface Point {
  readonly x: number;
  readonly y: number;
  /** With its fraction; outside the plot it goes on. */
  readonly step: number;
  readonly inside: boolean;
}

export interface PointerTargets {
  readonly root: RefObject<HTMLElement | null>;
  readonly steps: StepDomain;
  /** The plot as it was drawn last. */
  plot(): Plot;
  onHover(point: Point | null): void;
  onClick(point: Point): void;
}

interface Drag {
  readonly startX: number;
  readonly startStep: number;
  readonly domain: Domain;
  readonly pans: boolean;
  moved: boolean;
}

export interface StepPointer {
  /** The stretch that a drag has marked so far. */
  readonly brush: Signal<Domain | null>;
  readonly handlers: Record<
    'onPointerDown' | 'onPointerMove' | 'onPointerUp' | 'onPointerLeave' | 'onPointerCancel',
    (event: PointerEvent) => void
  > & { onDblClick(): void; onWheel(event: WheelEvent): void };
}

export function useStepPointer(targets: PointerTargets): StepPointer {
  const latest = useRef(targets);
  latest.current = targets;
  return useMemo(() => stepPointer(() => latest.current), []);
}

function stepPointer(current: () => PointerTargets): StepPointer {
  const brush = signal<Domain | null>(null);
  let drag: Drag | null = null;

  const locate = (event: MouseEvent): Point => {
    const { root, steps } = current();
    const plot = current().plot();
    const box = root.current!.getBoundingClientRect();
    const x = event.clientX - box.left;
    const y = event.clientY - box.top;
    return { x, y, step: stepAt(plot, visibleSteps(steps), x), inside: x >= plot.left && x < plot.right };
  };
  const dragTo = (point: Point, { startX, startStep, domain, pans }: Drag) => {
    const { steps } = current();
    const plot = current().plot();
    if (pans)
      return panBy(steps, domain, ((startX - point.x) / (plot.right - plot.left)) * (domain[1] - domain[0]));
    const step = Math.min(domain[1], Math.max(domain[0], point.step));
    brush.value = [Math.min(startStep, step), Math.max(startStep, step)];
  };
  const stop = () => {
    drag = null;
    brush.value = null;
  };

  return {
    brush,
    handlers: {
      onPointerDown(event) {
        const point = locate(event);
        if (event.button !== 0 || event.pointerType === 'touch' || !point.inside) return;
        const domain = visibleSteps(current().steps);
        drag = { startX: point.x, startStep: point.step, domain, pans: event.shiftKey, moved: false };
        (event.currentTarget as Element).setPointerCapture(event.pointerId);
      },
      onPointerMove(event) {
        const point = locate(event);
        if (drag && Math.abs(point.x - drag.startX) >= CLICK) drag.moved = true;
        if (drag?.moved) dragTo(point, drag);
        else current().onHover(point);
      },
      onPointerUp(event) {
        const point = locate(event);
        const marked = brush.peek();
        const moved = drag?.moved;
        stop();
        if (!moved && event.button === 0) current().onClick(point);
        else if (marked) zoomTo(current().steps, marked);
      },
      onPointerLeave() {
        if (!drag) current().onHover(null);
      },
      onPointerCancel: stop,
      onDblClick() {
        current().steps.zoom.value = null;
      },
      onWheel(event) {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        zoomAround(current().steps, locate(event).step, Math.exp(event.deltaY / 300));
      },
    },
  };
}
