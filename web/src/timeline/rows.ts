/** The rows of the timeline, from the state of the session: pure, and stable while text streams. */
import { startOfDay } from '../i18n/times';
import { branchOf, childrenOf, type Messages } from '../turns/messageTree';
import type { OpenTurn, Sending, SessionState } from '../turns/sessionState';
import type { Message } from '../turns/turnEvents';

export interface Branches {
  /** Counted from 0. */
  readonly index: number;
  readonly ids: readonly string[];
}

export type Row =
  | { kind: 'day'; key: string; date: Date }
  | { kind: 'message'; key: string; message: Message; branches: Branches | null }
  | { kind: 'running'; key: string; open: OpenTurn; branches: Branches | null }
  | { kind: 'sending'; key: string; sending: Sending };

/** `children` is `childrenOf(state.messages)`, which the caller remembers. */
export function rowsOf(
  state: Pick<SessionState, 'messages' | 'leaf' | 'open' | 'outbox'>,
  children: ReturnType<typeof childrenOf>,
): Row[] {
  const { messages, leaf, open, outbox } = state;
  const [first] = outbox;
  const isPosted = first !== undefined && first.state !== 'queued';
  const showsOpen = open !== null && leaf === open.replyId && !messages.has(open.replyId);
  // A posted message is shown where it will be, and never below what it replaces.
  const postedUnder = isPosted ? (first.regenerates ?? first.parentId) : undefined;
  const end = postedUnder !== undefined ? postedUnder : showsOpen ? open.parentId : leaf;
  const rows: Row[] = [];
  for (const message of branchOf(messages, end)) {
    const last = rows.at(-1);
    const date = new Date(message.created_at);
    const before = last?.kind === 'message' ? new Date(last.message.created_at) : null;
    if (!before || startOfDay(before) !== startOfDay(date)) {
      rows.push({ kind: 'day', key: `day-${message.id}`, date });
    }
    const siblings = children.get(message.parent_message_id) ?? [];
    rows.push({
      kind: 'message',
      key: message.id,
      message,
      branches: branchesOf(siblings, message.id),
    });
  }
  if (showsOpen && postedUnder === undefined) {
    const siblings = [...(children.get(open.parentId) ?? []), { id: open.replyId }];
    const branches = branchesOf(siblings, open.replyId);
    // The key of the reply that will follow it, so that the element stays.
    rows.push({ kind: 'running', key: open.replyId, open, branches });
  }
  for (const sending of outbox) rows.push({ kind: 'sending', key: sending.key, sending });
  return rows;
}

function branchesOf(siblings: ReadonlyArray<{ id: string }>, id: string): Branches | null {
  if (siblings.length < 2) return null;
  return { index: siblings.findIndex((each) => each.id === id), ids: siblings.map((e) => e.id) };
}

export function rememberedChildren(): (messages: Messages) => ReturnType<typeof childrenOf> {
  let known: Messages | null = null;
  let children: ReturnType<typeof childrenOf> = new Map();
  return (messages) => {
    if (messages !== known) {
      known = messages;
      children = childrenOf(messages);
    }
    return children;
  };
}
