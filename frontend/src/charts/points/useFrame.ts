import { useEffect, useMemo, useRef } from 'preact/hooks';

/** A function that has `run` called once in the next frame, however often it is called before that. */
export function useFrame(run: () => void): () => void {
  const latest = useRef(run);
  latest.current = run;
  const frame = useRef(0);
  useEffect(() => () => cancelAnimationFrame(frame.current), []);
  return useMemo(
    () => () => {
      frame.current ||= requestAnimationFrame(() => {
        frame.current = 0;
        latest.current();
      });
    },
    [],
  );
}
