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

/** A field with the draft of a session; what was typed last may not be stored yet. */
interface DraftField {
  readonly sessionId: string;
  readonly save: () => void;
  readonly show: () => void;
}
const fields = new Set<DraftField>();

export function addField(field: DraftField): () => void {
  fields.add(field);
  return () => fields.delete(field);
}

function inFields(sessionId: string, action: 'save' | 'show'): void {
  for (const field of fields) if (field.sessionId === sessionId) field[action]();
}

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
  inFields(sessionId, 'save');
  const typed = readDraft(sessionId).text;
  const joined = typed && typed !== text ? `${text}\n\n${typed}` : text;
  writeDraft(sessionId, { text: joined, caret: joined.length });
  inFields(sessionId, 'show');
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
  inFields(sessionId, 'show');
}

/** Erases the drafts and outboxes of all sessions of this user but the given ones. */
export function forgetAllContent(keptIds: readonly string[]): void {
  const kept = keptIds.flatMap((id) => [key('draft', id), outboxKey(id, '')]);
  for (const name of [...keysWith(key('draft', '')), ...keysWith(key('outbox', ''))]) {
    if (!kept.some((prefix) => name.startsWith(prefix))) remove(name);
  }
  // A field would store its text again.
  for (const field of fields) if (!keptIds.includes(field.sessionId)) field.show();
}

/** Moves an unsent text to another session, before the one that is already there. */
export function moveDraft(from: string, to: string): void {
  inFields(from, 'save');
  returnToDraft(to, readDraft(from).text);
  remove(key('draft', from));
  inFields(from, 'show');
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
