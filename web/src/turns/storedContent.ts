/** Drafts and outboxes in localStorage, one entry each, under keys of the user and the session. */
import { currentAccount } from '../account/token';
import { MAX_AGE_MS } from './outbox';
import type { Sending } from './sessionState';

export interface Draft {
  readonly text: string;
  readonly caret: number;
}

/** An event of the window: what is written does not survive this tab. */
export const STORAGE_FAILED = 'parley-storage-failed';

const draftListeners = new Set<(sessionId: string) => void>();

export function readDraft(sessionId: string): Draft {
  return read<Draft>(key('draft', sessionId)) ?? { text: '', caret: 0 };
}

export function writeDraft(sessionId: string, draft: Draft): void {
  // After signing out nothing may be stored.
  if (draft.text && currentAccount().user) write(key('draft', sessionId), draft);
  else remove(key('draft', sessionId));
}

/** Puts a text that was not sent before what has been typed since. */
export function returnToDraft(sessionId: string, text: string): void {
  if (!text) return;
  const typed = readDraft(sessionId).text;
  const joined = typed && typed !== text ? `${text}\n\n${typed}` : text;
  writeDraft(sessionId, { text: joined, caret: joined.length });
  for (const listener of draftListeners) listener(sessionId);
}

export function subscribeToDrafts(listener: (sessionId: string) => void): () => void {
  draftListeners.add(listener);
  return () => draftListeners.delete(listener);
}

/** This tab holds a lock of this name while it lives: others adopt the entries it left. */
const TAB = `parley.tab.${crypto.randomUUID()}`;
if (navigator.locks) void navigator.locks.request(TAB, () => new Promise(() => undefined));

interface StoredSending extends Sending {
  readonly tab: string;
}

export function storeOutbox(before: readonly Sending[], after: readonly Sending[]): void {
  for (const sending of after) {
    if (!before.includes(sending)) {
      write(outboxKey(sending.sessionId, sending.key), { ...sending, tab: TAB });
    }
  }
  for (const { key: id, sessionId } of before) {
    if (!after.some((each) => each.key === id)) remove(outboxKey(sessionId, id));
  }
}

/**
 * The entries of tabs that no longer live, oldest first. One that is too old to be sent under its
 * key becomes a draft.
 */
export async function adoptOutbox(): Promise<Sending[]> {
  const locks = navigator.locks ? await navigator.locks.query() : { held: [] };
  const living = new Set(locks.held?.map((lock) => lock.name));
  const adopted: Sending[] = [];
  for (const name of keysWith(outboxKey('', '').slice(0, -1))) {
    const stored = read<StoredSending>(name);
    if (!stored || living.has(stored.tab)) continue;
    const { tab: _, ...sending } = stored;
    if (Date.now() - sending.at > MAX_AGE_MS) {
      remove(name);
      returnToDraft(sending.sessionId, sending.content);
      continue;
    }
    write(name, { ...sending, tab: TAB });
    adopted.push(sending);
  }
  return adopted.sort((a, b) => a.at - b.at);
}

/** Whether a message that starts this session waits to be sent, in this tab or in another one. */
export function hasUnsentStart(sessionId: string): boolean {
  const names = keysWith(outboxKey(sessionId, ''));
  return names.some((name) => read<StoredSending>(name)?.start !== undefined);
}

/** Erases what this browser holds of a session. */
export function forgetSession(sessionId: string): void {
  remove(key('draft', sessionId));
  for (const name of keysWith(outboxKey(sessionId, ''))) remove(name);
  for (const listener of draftListeners) listener(sessionId);
}

/** Erases the drafts and outboxes of all sessions of this user. */
export function forgetAllContent(): void {
  for (const name of [...keysWith(key('draft', '')), ...keysWith(key('outbox', ''))]) remove(name);
}

/** The text goes on in another session. */
export function moveDraft(from: string, to: string): void {
  writeDraft(to, readDraft(from));
  remove(key('draft', from));
  for (const listener of draftListeners) listener(from);
}

function key(kind: 'draft' | 'outbox', id: string): string {
  return `parley.${kind}.${currentAccount().user}.${id}`;
}

function outboxKey(sessionId: string, id: string): string {
  return key('outbox', `${sessionId}.${id}`);
}

function keysWith(prefix: string): string[] {
  try {
    return Object.keys(localStorage).filter((name) => name.startsWith(prefix));
  } catch {
    return [];
  }
}

function read<Value>(name: string): Value | null {
  try {
    return JSON.parse(localStorage.getItem(name) ?? 'null') as Value | null;
  } catch {
    return null;
  }
}

function write(name: string, value: unknown): void {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // Storage is full or blocked: the text stays in this tab's memory, and the user must know.
    dispatchEvent(new Event(STORAGE_FAILED));
  }
}

function remove(name: string): void {
  try {
    localStorage.removeItem(name);
  } catch {
    // Storage is blocked: nothing was stored.
  }
}
