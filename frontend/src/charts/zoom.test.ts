import { signal } from '@preact/signals';
import { describe, expect, it } from 'vitest';
import type { Domain } from './types';
import { panBy, visibleSteps, zoomAround, zoomTo } from './zoom';

function axis(zoom: Domain | null = null) {
  return { extent: signal<Domain>([0, 1000]), zoom: signal(zoom) };
}

describe('zooming', () => {
  it('shows everything without a zoom, and follows a live run', () => {
    const steps = axis();
    steps.extent.value = [0, 2000];
    expect(visibleSteps(steps)).toEqual([0, 2000]);
  });

  it.each<[Domain, Domain | null]>([
    [
      [100, 200],
      [100, 200],
    ],
    [
      [-50, 50],
      [0, 100],
    ],
    [
      [950, 1050],
      [900, 1000],
    ],
    [
      [500, 500],
      [498, 502],
    ],
    [[-10, 2000], null],
  ])('to %j shows %j', (wanted, shown) => {
    const steps = axis();
    zoomTo(steps, wanted);
    expect(steps.zoom.value).toEqual(shown);
  });

  it('keeps the step under the pointer in place', () => {
    const steps = axis([100, 300]);
    zoomAround(steps, 150, 0.5);
    expect(steps.zoom.value).toEqual([125, 225]);
    zoomAround(steps, 150, 100);
    expect(steps.zoom.value).toBeNull();
  });

  it('takes a run that is shorter than the narrowest zoom', () => {
    const steps = { extent: signal<Domain>([0, 2]), zoom: signal<Domain | null>(null) };
    zoomTo(steps, [0, 1]);
    expect(steps.zoom.value).toBeNull();
  });
});

describe('panBy', () => {
  it('stops at the ends and keeps the width', () => {
    const steps = axis([100, 200]);
    panBy(steps, [100, 200], -500);
    expect(steps.zoom.value).toEqual([0, 100]);
    panBy(steps, [100, 200], 5000);
    expect(steps.zoom.value).toEqual([900, 1000]);
  });

  it('does nothing when everything is shown', () => {
    const steps = axis();
    panBy(steps, [0, 1000], 100);
    expect(steps.zoom.value).toBeNull();
  });
});
