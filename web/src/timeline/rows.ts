/** The rows of the timeline, from the state of the session: pure. */
import { startOfDay } from '../i18n/times';
import { branchOf, childrenOf, type Messages } from '../turns/messageTree';
import type { OpenTurn, SessionState } from '../turns/sessionState';
import type { Message } from '../turns/turnEvents';

export interface Branches {
  /** Counted from 0. */
  readonly index: number;
  readonly ids: readonly string[];
}

export type Row =
  | { kind: 'day'; key: string; version: number; date: Date }
  | {
      kind: 'message';
      key: string;
      version: number;
      message: Message;
      branches: Branches | null;
    };

export function isMessage(row: Row): boolean {
  return row.kind === 'message';
}

/** Of a message among all of them, where the document lacks some; else undefined. */
export interface Place {
  /** Counted from 1. */
  readonly position: number | undefined;
  /** -1: not known before the earlier messages are loaded. */
  readonly setSize: number | undefined;
}

export interface Shown {
  /** The last stored message that is shown. */
  readonly end: string | null;
  readonly running: OpenTurn | null;
}

/** A posted message is shown where it will be, and never below the one that it replaces. */
export function shownPart(
  state: Pick<SessionState, 'messages' | 'leaf' | 'open' | 'outbox'>,
): Shown {
  const { messages, leaf, open, outbox } = state;
  const [first] = outbox;
  if (first && first.state !== 'queued') {
    const under = first.regenerates ?? first.parentId;
    if (under !== undefined) return { end: under, running: null };
  }
  const isRunning = open !== null && leaf === open.replyId && !messages.has(open.replyId);
  return isRunning ? { end: open.parentId, running: open } : { end: leaf, running: null };
}

/** `known` are the rows of the state before: equal ones keep their identity. */
export function rowsOf(messages: Messages, end: string | null, known: readonly Row[]): Row[] {
  const children = childrenOf(messages);
  const before = new Map(known.map((row) => [row.key, row]));
  const rows: Row[] = [];
  let day: number | null = null;
  for (const message of branchOf(messages, end)) {
    const { id, version } = message;
    const date = new Date(message.created_at);
    if (startOfDay(date) !== day) {
      day = startOfDay(date);
      const key = `day-${id}`;
      rows.push(before.get(key) ?? { kind: 'day', key, version, date });
    }
    const branches = branchesOf(children.get(message.parent_message_id) ?? [], id);
    const same = before.get(id);
    const isSame =
      same?.kind === 'message' &&
      same.message === message &&
      same.branches?.index === branches?.index &&
      same.branches?.ids.join() === branches?.ids.join();
    rows.push(isSame ? same : { kind: 'message', key: id, version, message, branches });
  }
  return rows;
}

/** The branches of the reply that is running, which is not stored yet. */
export function runningBranches(messages: Messages, open: OpenTurn): Branches | null {
  const siblings = childrenOf(messages).get(open.parentId) ?? [];
  return branchesOf([...siblings, { id: open.replyId }], open.replyId);
}

function branchesOf(siblings: ReadonlyArray<{ id: string }>, id: string): Branches | null {
  if (siblings.length < 2) return null;
  return { index: siblings.findIndex((each) => each.id === id), ids: siblings.map((e) => e.id) };
}
