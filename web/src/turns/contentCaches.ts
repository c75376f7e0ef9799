/** Caches with text of conversations register here, so that it can be erased from all of them. */
import { useSyncExternalStore } from 'react';

const clears = new Set<() => void>();
const listeners = new Set<() => void>();
let generation = 0;

export function registerCache(clear: () => void): void {
  clears.add(clear);
}

export function clearCaches(): void {
  for (const clear of clears) clear();
  generation++;
  for (const listener of listeners) listener();
}

/** Changes with each erasure: as a key, it lets go of what React keeps of earlier renders. */
export function useCacheGeneration(): number {
  return useSyncExternalStore(subscribe, () => generation);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
