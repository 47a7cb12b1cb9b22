/** Loads three.js for a canvas, and says in words what stands in the way. */
import { type ReadonlySignal, useSignal } from '@preact/signals';
import type { RefObject } from 'preact';
import { useEffect } from 'preact/hooks';
import type { Cloud } from './cloud';

const WORDS = {
  missing: 'Points are drawn with WebGL 2, which this browser does not offer, or has turned off.',
  lost: 'The browser has taken back the graphics memory of this chart. It will be drawn again when there is some.',
  failed: 'The part of the page that draws points could not be loaded. Reload the page to try again.',
};

export interface CloudHold {
  readonly cloud: ReadonlySignal<Cloud | null>;
  /** Empty where all is well. */
  readonly trouble: ReadonlySignal<string>;
}

export function useCloud(canvas: RefObject<HTMLCanvasElement | null>): CloudHold {
  const cloud = useSignal<Cloud | null>(null);
  const trouble = useSignal('');
  useEffect(() => {
    const element = canvas.current!;
    const context = element.getContext('webgl2', { antialias: false });
    if (!context) {
      trouble.value = WORDS.missing;
      return;
    }
    let isGone = false;
    const load = async () => {
      const { Cloud } = await import('./cloud');
      if (!isGone) cloud.value = new Cloud(element, context);
    };
    load().catch(() => {
      trouble.value = WORDS.failed;
    });
    const onLost = () => {
      trouble.value = WORDS.lost;
    };
    const onRestored = () => {
      trouble.value = '';
    };
    element.addEventListener('webglcontextlost', onLost);
    element.addEventListener('webglcontextrestored', onRestored);
    return () => {
      isGone = true;
      element.removeEventListener('webglcontextlost', onLost);
      element.removeEventListener('webglcontextrestored', onRestored);
      cloud.peek()?.dispose();
      cloud.value = null;
    };
  }, [canvas]);
  return { cloud, trouble };
}
