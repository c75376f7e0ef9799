/** Caches with text of conversations register here, so that it can be erased from all of them. */

const clears = new Set<() => void>();

export function registerCache(clear: () => void): void {
  clears.add(clear);
}

export function clearCaches(): void {
  for (const clear of clears) clear();
}
