/** The tree of a session's messages: edits and further replies are siblings. */
import type { Message } from './turnEvents';

export type Messages = ReadonlyMap<string, Message>;

/** The messages from the oldest loaded one to the leaf. */
export function branchOf(messages: Messages, leaf: string | null): Message[] {
  const branch: Message[] = [];
  for (let id: string | null = leaf; id !== null; ) {
    const message = messages.get(id);
    if (!message) break;
    branch.push(message);
    id = message.parent_message_id;
  }
  return branch.reverse();
}

/** The messages with the same parent, oldest first, by the parent's id. */
export function childrenOf(messages: Messages): Map<string | null, Message[]> {
  const children = new Map<string | null, Message[]>();
  for (const message of messages.values()) {
    const siblings = children.get(message.parent_message_id);
    if (siblings) siblings.push(message);
    else children.set(message.parent_message_id, [message]);
  }
  for (const siblings of children.values()) siblings.sort((a, b) => a.version - b.version);
  return children;
}

/** The message of the highest version that follows `root`, or `root` itself. */
export function newestLeaf(messages: Messages, root: string): string {
  const children = childrenOf(messages);
  let newest = messages.get(root);
  const pending = [root];
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    for (const child of children.get(id) ?? []) {
      if (!newest || child.version > newest.version) newest = child;
      pending.push(child.id);
    }
  }
  return newest?.id ?? root;
}

export function newestMessage(messages: Messages): Message | null {
  let newest: Message | null = null;
  for (const message of messages.values()) {
    if (!newest || message.version > newest.version) newest = message;
  }
  return newest;
}

/** The newest message of a branch that is not the one of the leaf. */
export function newestElsewhere(messages: Messages, leaf: string | null): Message | null {
  const shown = new Set(branchOf(messages, leaf).map((each) => each.id));
  const others = [...messages].filter(([id]) => !shown.has(id));
  return newestMessage(new Map(others));
}

export function isAncestor(messages: Messages, ancestor: string, id: string): boolean {
  for (let at: string | null = id; at !== null; at = messages.get(at)?.parent_message_id ?? null) {
    if (at === ancestor) return true;
  }
  return false;
}
