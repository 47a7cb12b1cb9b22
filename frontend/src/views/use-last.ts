/** What was there before, while the next one comes. */
import { useRef } from 'preact/hooks';

/** The first value that there was under the same `key`; null before that. */
export function useFirst<T>(value: T | null, key: string): T | null {
  const held = useRef<{ key: string; value: T | null }>({ key, value: null });
  if (held.current.key !== key || held.current.value === null) held.current = { key, value };
  return held.current.value;
}

/** `value`, or in its absence the last one that there was under the same `key`. */
export function useLast<T>(value: T | null, key: string | null): T | null {
  const held = useRef<{ key: string | null; value: T | null }>({ key, value: null });
  if (value !== null || held.current.key !== key) held.current = { key, value };
  return held.current.value;
}
