/** How points are drawn, and what a drag over them does. */
import { batch, type Signal, signal } from '@preact/signals';
import { type CameraState, type Dims, HOME, type Tool } from '../../charts/points/index';

export type PointSize = 'small' | 'medium' | 'large';

export const sizeChoice = signal<PointSize>('medium');
export const tool = signal<Tool>('pan');
export const withNames = signal(true);

const FACTOR: Readonly<Record<PointSize, number>> = { small: 0.6, medium: 1, large: 1.6 };

/** Diameter of a point in pixels: many points are small ones. */
export function pointSize(count: number): number {
  const fitting = Math.min(7, Math.max(2.5, 34 / Math.max(1, count) ** 0.25));
  return fitting * FACTOR[sizeChoice.value];
}

/** From where all pictures are seen, by their dimensions. */
export const views: Readonly<Record<Dims, Signal<CameraState>>> = { 2: signal(HOME), 3: signal(HOME) };

export function resetViews(): void {
  batch(() => {
    for (const view of Object.values(views)) view.value = HOME;
  });
}
