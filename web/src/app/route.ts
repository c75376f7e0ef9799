/** The address of the page: `/`, `/s/{session}?leaf=…` or `/settings`. */
import { useSyncExternalStore } from 'react';

export interface Route {
  readonly sessionId: string | null;
  readonly leaf: string | undefined;
  readonly isSettings: boolean;
}

const SESSION = /^\/s\/([0-9a-f-]{36})$/i;
const listeners = new Set<() => void>();
let current: Route = { sessionId: null, leaf: undefined, isSettings: false };
current = parse();

export function useRoute(): Route {
  return useSyncExternalStore(subscribe, () => current);
}

export function goTo(path: string, how: 'push' | 'replace' = 'push'): void {
  if (path === location.pathname + location.search) return;
  if (how === 'push') history.pushState(null, '', path);
  else history.replaceState(null, '', path);
  changed();
}

export function sessionPath(id: string, leaf?: string | null): string {
  return `/s/${id}${leaf ? `?leaf=${leaf}` : ''}`;
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function changed(): void {
  current = parse();
  for (const listener of listeners) listener();
}

function parse(): Route {
  // The settings are a dialog over what was shown before.
  if (location.pathname === '/settings') return { ...current, isSettings: true };
  const sessionId = SESSION.exec(location.pathname)?.[1] ?? null;
  const leaf = new URLSearchParams(location.search).get('leaf') ?? undefined;
  return { sessionId, leaf, isSettings: false };
}

addEventListener('popstate', changed);
