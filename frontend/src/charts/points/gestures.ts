/** Mouse, touch and keys over a cloud. */
import { type Signal, signal } from '@preact/signals';
import { useMemo, useRef } from 'preact/hooks';
import { type Box, HOME, panned, turned, zoomed } from './camera';
import { afterKey } from './keys';
import type { Path } from './screen';
import type { CameraState, Dims, Tool } from './types';

/** A pointer that moved less has clicked. */
const CLICK = 4;

export interface GestureTargets {
  readonly dims: Dims;
  readonly tool: Tool;
  readonly view: Signal<CameraState>;
  box(): Box;
  /** The pointer rests at a place, or a key has moved the picture under its middle; null when it has left. */
  onPoint(place: Place | null): void;
  onClick(place: Place): void;
  onLasso(path: Path): void;
}

/** In CSS pixels from the chart's corner. */
export interface Place {
  readonly x: number;
  readonly y: number;
  /** Whether it is the crosshair in the middle, which the keyboard uses. */
  readonly isCrosshair: boolean;
}

export interface Gestures {
  /** What a lasso has gone around so far. */
  readonly path: Signal<Path>;
  readonly handlers: Record<
    'onPointerDown' | 'onPointerMove' | 'onPointerUp' | 'onPointerLeave' | 'onPointerCancel',
    (event: PointerEvent) => void
  > & {
    onDblClick(): void;
    onContextMenu(event: MouseEvent): void;
    onWheel(event: WheelEvent): void;
    onKeyDown(event: KeyboardEvent): void;
  };
}

export function useGestures(targets: GestureTargets): Gestures {
  const latest = useRef(targets);
  latest.current = targets;
  return useMemo(() => gestures(() => latest.current), []);
}

/** What the fingers, or the mouse, hold: their middle, and how far they are from it. */
interface Grip {
  readonly x: number;
  readonly y: number;
  readonly spread: number;
}

function gestures(current: () => GestureTargets): Gestures {
  const path = signal<Path>([]);
  const held = new Map<number, { readonly x: number; readonly y: number }>();
  let hasMoved = false;
  let start: Grip | null = null;
  let isMarking = false;

  const change = (next: (state: CameraState) => CameraState) => {
    const { view } = current();
    view.value = next(view.peek());
  };
  const placeOf = (event: MouseEvent): Place => {
    const corner = (event.currentTarget as Element).getBoundingClientRect();
    return { x: event.clientX - corner.left, y: event.clientY - corner.top, isCrosshair: false };
  };
  const fromMiddle = ({ x, y }: { readonly x: number; readonly y: number }) => {
    const { width, height } = current().box();
    return [x - width / 2, y - height / 2] as const;
  };
  const drag = (before: Grip, after: Grip, slides: boolean) => {
    const { dims } = current();
    const box = current().box();
    const [right, down] = [after.x - before.x, after.y - before.y];
    const factor = before.spread > 0 && after.spread > 0 ? after.spread / before.spread : 1;
    change((state) => {
      const moved =
        dims === 2 || slides ? panned(state, dims, box, right, down) : turned(state, box, right, down);
      return factor === 1 ? moved : zoomed(moved, dims, box, factor, ...fromMiddle(after));
    });
  };
  const stop = () => {
    held.clear();
    start = null;
    isMarking = false;
    path.value = [];
  };
  const press = (event: KeyboardEvent): boolean => {
    const { dims, view, onPoint, onClick } = current();
    const box = current().box();
    const crosshair = { x: box.width / 2, y: box.height / 2, isCrosshair: true };
    const next = afterKey(event, view.peek(), dims, box);
    if (next) {
      view.value = next;
      onPoint(crosshair);
    } else if (event.key === 'Enter') onClick(crosshair);
    else if (event.key === 'Escape' && held.size) stop();
    else return false;
    return true;
  };

  return {
    path,
    handlers: {
      onPointerDown(event) {
        const place = placeOf(event);
        held.set(event.pointerId, place);
        (event.currentTarget as Element).setPointerCapture(event.pointerId);
        hasMoved = held.size > 1;
        start = gripOf(held);
        isMarking = current().tool === 'lasso' && event.button === 0 && held.size === 1;
        path.value = isMarking ? [place.x, place.y] : [];
      },
      onPointerMove(event) {
        const place = placeOf(event);
        if (!held.has(event.pointerId)) return current().onPoint(place);
        // What was held at the first touch stays under the pointer, too, once it is no click any more.
        const before = hasMoved ? gripOf(held) : start!;
        held.set(event.pointerId, place);
        const after = gripOf(held);
        if (Math.hypot(after.x - start!.x, after.y - start!.y) >= CLICK) hasMoved = true;
        if (isMarking) path.value = [...path.peek(), place.x, place.y];
        else if (hasMoved) drag(before, after, event.shiftKey || (event.buttons & 2) !== 0 || held.size > 1);
      },
      onPointerUp(event) {
        const marked = path.peek();
        const hasClicked = held.size === 1 && !hasMoved && event.button === 0;
        const wasMarking = isMarking;
        held.delete(event.pointerId);
        if (held.size) {
          start = gripOf(held);
          return;
        }
        stop();
        if (wasMarking) current().onLasso(hasMoved ? marked : []);
        else if (hasClicked) current().onClick(placeOf(event));
      },
      onPointerLeave() {
        if (!held.size) current().onPoint(null);
      },
      onPointerCancel: stop,
      onDblClick() {
        if (current().tool === 'pan') current().view.value = HOME;
      },
      onContextMenu(event) {
        // The right button moves the picture.
        event.preventDefault();
      },
      onWheel(event) {
        event.preventDefault();
        const { dims } = current();
        const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1);
        // Pinching a touchpad comes as a wheel with Ctrl, in small steps.
        const factor = Math.exp(-pixels / (event.ctrlKey ? 100 : 400));
        change((state) => zoomed(state, dims, current().box(), factor, ...fromMiddle(placeOf(event))));
      },
      onKeyDown(event) {
        if (event.ctrlKey || event.metaKey || event.altKey || !press(event)) return;
        event.preventDefault();
        event.stopPropagation();
      },
    },
  };
}

function gripOf(held: ReadonlyMap<number, { readonly x: number; readonly y: number }>): Grip {
  const places = [...held.values()];
  const mean = (numbers: number[]) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
  const [x, y] = [mean(places.map((place) => place.x)), mean(places.map((place) => place.y))];
  return { x, y, spread: mean(places.map((place) => Math.hypot(place.x - x, place.y - y))) };
}
