/** A file of conversations, read and checked before anything is sent: pure. */
import type { components } from '../api/schema';
import { byteLength } from '../composer/byteLength';

export type ImportedMessage = components['schemas']['ImportedMessage'];

export interface ImportedSession {
  /** Of the new session: the same in each attempt, as the ids of messages are. */
  readonly id: string;
  readonly title: string | null;
  readonly assistantId: string | null;
  readonly messages: readonly ImportedMessage[];
}

export interface CheckedFile {
  readonly sessions: readonly ImportedSession[];
  readonly messageCount: number;
  /** Messages that are left out: of no known form, or too large. */
  readonly badCount: number;
}

// A reply may have twice the bytes of a message.
const REPLY_FACTOR = 2;
const ROLES = new Set(['user', 'assistant', 'system']);
const KEPT = [
  'role',
  'content',
  'created_at',
  'status',
  'model',
  'finish_reason',
  'usage',
] as const;

type Fields = Record<string, unknown>;

/**
 * An export of Parley, of one session or of all, or a list of messages with `role` and `content`.
 * Throws SyntaxError if it is none.
 */
export function checkFile(text: string, maxBytes: number): CheckedFile {
  const value: unknown = JSON.parse(text);
  const sources = sourcesOf(value);
  if (sources.length === 0) throw new SyntaxError('No conversations.');
  let badCount = 0;
  const sessions = sources.map(({ session, messages }): ImportedSession => {
    const good = messages.filter((each): each is Fields => isMessage(each, maxBytes));
    badCount += messages.length - good.length;
    return {
      id: crypto.randomUUID(),
      title: typeof session.title === 'string' ? session.title.slice(0, 200) : null,
      assistantId: typeof session.assistant_id === 'string' ? session.assistant_id : null,
      messages: withNewIds(good),
    };
  });
  const messageCount = sessions.reduce((sum, each) => sum + each.messages.length, 0);
  return { sessions, messageCount, badCount };
}

function sourcesOf(value: unknown): Array<{ session: Fields; messages: unknown[] }> {
  if (Array.isArray(value)) {
    const isList = value.some((each) => isFields(each) && 'role' in each);
    return isList ? [{ session: {}, messages: value }] : value.flatMap(sourcesOf);
  }
  if (!isFields(value)) return [];
  if (Array.isArray(value.sessions)) return value.sessions.flatMap(sourcesOf);
  if (!Array.isArray(value.messages)) return [];
  return [{ session: isFields(value.session) ? value.session : {}, messages: value.messages }];
}

function isMessage(value: unknown, maxBytes: number): boolean {
  if (!isFields(value) || typeof value.content !== 'string') return false;
  if (typeof value.role !== 'string' || !ROLES.has(value.role)) return false;
  const isReply = value.role === 'assistant';
  const isEmpty =
    value.content === '' && (!isReply || (value.status ?? 'completed') === 'completed');
  return !isEmpty && byteLength(value.content) <= maxBytes * (isReply ? REPLY_FACTOR : 1);
}

/** Branches are kept under new ids: the messages may still exist in another session. */
function withNewIds(messages: readonly Fields[]): ImportedMessage[] {
  const ids = new Map<unknown, string>();
  for (const { id } of messages) if (typeof id === 'string') ids.set(id, crypto.randomUUID());
  return messages.map((message) => {
    const kept: Fields = {};
    for (const field of KEPT) if (message[field] != null) kept[field] = message[field];
    if (message.role !== 'assistant') {
      for (const field of ['status', 'model', 'finish_reason', 'usage']) delete kept[field];
    }
    const id = ids.get(message.id);
    if (id) kept.id = id;
    if (id && 'parent_message_id' in message) {
      const parent = message.parent_message_id;
      // Below a message that is left out, a branch begins.
      kept.parent_message_id = parent === null ? null : (ids.get(parent) ?? null);
    }
    return kept as unknown as ImportedMessage;
  });
}

/** Parts that a request may have: by the number of messages, and by their bytes. */
export function partsOf(
  messages: readonly ImportedMessage[],
  maxMessages = 500,
  maxBytes = 3 * 1024 * 1024,
): ImportedMessage[][] {
  const parts: ImportedMessage[][] = [];
  let size = 0;
  for (const message of messages) {
    const bytes = byteLength(JSON.stringify(message));
    const last = parts.at(-1);
    if (last && last.length < maxMessages && size + bytes <= maxBytes) {
      last.push(message);
      size += bytes;
    } else {
      parts.push([message]);
      size = bytes;
    }
  }
  return parts;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
