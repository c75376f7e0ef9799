/**
 * The address of the page: `/`, `/s/{session}?leaf=…&message=…`, or one of the dialogs, which are
 * over what was shown before.
 */
import { useSyncExternalStore } from 'react';

const DIALOGS = ['settings', 'search', 'usage', 'import'] as const;
export type DialogName = (typeof DIALOGS)[number];

export interface Route {
  readonly sessionId: string | null;
  readonly leaf: string | undefined;
  /** The message that is brought into view. */
  readonly messageId: string | null;
  readonly dialog: DialogName | null;
  /** The session that is searched; null: all of them. */
  readonly within: string | null;
}

const SESSION = /^\/s\/([0-9a-f-]{36})$/i;
const listeners = new Set<() => void>();
let current: Route = {
  sessionId: null,
  leaf: undefined,
  messageId: null,
  dialog: null,
  within: null,
};
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

export function messagePath(sessionId: string, messageId: string): string {
  return `${sessionPath(sessionId, messageId)}&message=${messageId}`;
}

/** Back to what is behind the dialog. */
export function closeDialog(): void {
  goTo(current.sessionId ? sessionPath(current.sessionId, current.leaf) : '/');
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
  const parameters = new URLSearchParams(location.search);
  const dialog = DIALOGS.find((name) => location.pathname === `/${name}`);
  if (dialog) {
    const within = parameters.get('in');
    const sessionId = current.sessionId ?? within;
    // The same hit may be chosen again.
    return { ...current, sessionId, messageId: null, dialog, within };
  }
  return {
    sessionId: SESSION.exec(location.pathname)?.[1] ?? null,
    leaf: parameters.get('leaf') ?? undefined,
    messageId: parameters.get('message'),
    dialog: null,
    within: null,
  };
}

addEventListener('popstate', changed);
