/** Moves points from where they are seen to where they are at another step. */
import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import type { Points } from '../../data/embeddings';
import { embeddingSteps } from '../../state/embeddings';
import { canMove, eased, type Motion, positionsAt } from '../../state/embeddings-motion';
import { embeddingPlayer, pace } from '../../state/embeddings-play';

/** How long points take to another step that the reader chose, in milliseconds. */
const UNHURRIED = 450;

export function useMotion(points: Points): Motion {
  const motion = useSignal<Motion>(resting(points));
  const shown = useRef(points);
  const frame = useRef(0);
  useLayoutEffect(() => {
    const before = shown.current;
    shown.current = points;
    cancelAnimationFrame(frame.current);
    if (before === points) return;
    if (!canMove(before, points) || wantsNoMotion()) {
      motion.value = resting(points);
      return;
    }
    const from = positionsAt(motion.peek());
    motion.value = { from, to: points.positions, mix: 0 };
    animate(frame, (mix) => {
      motion.value = mix < 1 ? { from, to: points.positions, mix } : resting(points);
    });
  }, [points]);
  useEffect(() => () => cancelAnimationFrame(frame.current), []);
  // In the first rendering with other points, the motion is still that of those before.
  return canMove(shown.current, points) ? motion.value : resting(points);
}

const resting = ({ positions }: Points): Motion => ({ from: positions, to: positions, mix: 1 });

const wantsNoMotion = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

/** Tells a number from 0 to 1 in every frame: evenly while playing, so that one step flows into the next. */
function animate(frame: { current: number }, tell: (mix: number) => void): void {
  const isPlaying = embeddingPlayer.playing.peek();
  const duration = isPlaying ? pace(embeddingSteps.peek().length) : UNHURRIED;
  const start = performance.now();
  const next = (now: number) => {
    const share = Math.min(1, Math.max(0, (now - start) / duration));
    tell(isPlaying || share === 1 ? share : eased(share));
    if (share < 1) frame.current = requestAnimationFrame(next);
  };
  frame.current = requestAnimationFrame(next);
}
