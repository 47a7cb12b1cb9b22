/** Server data for as long as a component is shown. */
import type { ReadonlySignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import type { Request, Resource } from '../data/resource';
import { follow } from '../state/store';

/** Follow what `wanted` asks for. It must read nothing but signals: it is taken from the first rendering only. */
export function useFollow<T>(wanted: () => Request<T> | null): ReadonlySignal<Resource<T>> {
  const resource = useMemo(() => follow(wanted), []);
  useEffect(() => resource.dispose, [resource]);
  return resource.state;
}
