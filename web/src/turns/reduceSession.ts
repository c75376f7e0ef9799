/** The state machine of a session: pure, and tolerant of repeated and late events. */
import { childrenOf, isAncestor, type Messages, newestLeaf, newestMessage } from './messageTree';
import {
  attach,
  deltaReceived,
  park,
  readTurn,
  replyEnded,
  stop,
  streamClosed,
  streamOpened,
  turnRead,
  unchanged,
} from './openTurn';
import { postAgain, postFailed, postNext, submitted, without } from './outbox';
import { EMPTY } from './replyText';
import {
  type HistoryPage,
  initialState,
  type OpenTurn,
  type SessionEvent,
  type SessionState,
  type Transition,
} from './sessionState';
import type { Message } from './turnEvents';

type Event<Type extends SessionEvent['type']> = Extract<SessionEvent, { type: Type }>;

export function reduceSession(state: SessionState, event: SessionEvent): Transition {
  if (state.view === 'gone') return unchanged(state);
  return postNext(transition(state, event));
}

function transition(state: SessionState, event: SessionEvent): Transition {
  switch (event.type) {
    case 'submitted':
      return submitted(state, event.sending);
    case 'session-started':
      return sessionStarted(state, event);
    case 'turn-started':
      return turnStarted(state, event);
    case 'post-failed':
      return postFailed(state, event);
    case 'stream-opened':
      return streamOpened(state, event);
    case 'delta':
      return deltaReceived(state, event);
    case 'moved':
      return moved(state, event);
    case 'reply-ended': {
      const { message, version, error } = event.event;
      if (error?.code === 'session_erased') return gone(state);
      return replyEnded(state, message, version, error ?? null);
    }
    case 'stream-closed':
      return streamClosed(state, event);
    case 'reply-complete':
      if (state.open?.attempt !== event.attempt) return unchanged(state);
      return readTurn(state, state.open.turnId);
    case 'turn-read':
      return turnRead({ ...state, unreadTurn: null }, event.turn, event.at);
    case 'turn-unreadable':
      return turnUnreadable(state, event);
    case 'loaded':
      return loaded(state, event);
    case 'older-loaded':
      return unchanged({
        ...state,
        messages: merged(state, event.page.messages),
        hasOlder: event.page.hasMore,
      });
    case 'load-failed':
      return loadFailed(state, event);
    case 'session-changed':
      return unchanged({
        ...state,
        session: event.session,
        version: Math.max(state.version, event.session.version),
      });
    case 'version-moved':
      return { state, effects: [{ do: 'load', afterMs: 0 }] };
    case 'stop-requested':
      return stop(state);
    case 'stop-answered':
      if (state.open?.turnId !== event.turnId) return unchanged(state);
      return unchanged({ ...state, open: { ...state.open, stop: 'sent' } });
    case 'stop-failed':
      if (state.open?.turnId !== event.turnId) return unchanged(state);
      return { state, effects: [{ do: 'cancel', turnId: event.turnId, afterMs: 1000 }] };
    case 'leaf-selected':
      return unchanged({ ...state, leaf: selected(state, event.leaf), branchedElsewhere: false });
    case 'hidden':
      return park(state);
    case 'visible':
    case 'signed-in':
      return awake(state);
    case 'problem-dismissed':
      return unchanged({ ...state, problem: null, branchedElsewhere: false });
    case 'gone':
      return gone(state);
  }
}

function sessionStarted(state: SessionState, { session }: Event<'session-started'>): Transition {
  const version = Math.max(state.version, session.version);
  return {
    state: { ...state, session, version, view: 'ready' },
    effects: [{ do: 'list-changed' }],
  };
}

function turnStarted(state: SessionState, event: Event<'turn-started'>): Transition {
  const sending = state.outbox.find((each) => each.key === event.key);
  // A stream that is resumed from its beginning repeats the event.
  if (!sending) return unchanged(state);
  const started = event.event;
  const { message_id, reply_id, turn_id, version } = started;
  const expected = state.version + (sending.regenerates === undefined ? 2 : 1);
  const open: OpenTurn = {
    turnId: turn_id,
    replyId: reply_id,
    parentId: message_id,
    reply: EMPTY,
    link: 'live',
    attempt: event.attempt,
    lostAt: null,
    tries: 0,
    startedAt: event.at,
    stop: sending.stop ? 'asked' : 'no',
  };
  const own: Message = {
    object: 'message',
    id: message_id,
    session_id: state.id,
    turn_id,
    parent_message_id: sending.parentId ?? null,
    role: 'user',
    content: sending.content,
    status: 'completed',
    version: version - 1,
    created_at: new Date(event.at).toISOString(),
  };
  const messages = state.messages.has(message_id)
    ? state.messages
    : new Map(state.messages).set(message_id, own);
  const beside = sending.continues ? message_id : null;
  const next: SessionState = {
    ...without(state, event.key),
    messages,
    open,
    leaf: reply_id,
    version: Math.max(state.version, version),
    view: 'ready',
    unreadTurn: null,
    branchedElsewhere: hasSibling(messages, beside),
    writtenBeside: version === expected ? null : beside,
  };
  return {
    state: next,
    effects: [
      ...(sending.stop ? ([{ do: 'cancel', turnId: turn_id, afterMs: 0 }] as const) : []),
      // Others wrote, or the key had been used before: see what there is.
      ...(version === expected ? [] : ([{ do: 'load', afterMs: 0 }] as const)),
      { do: 'list-changed' },
    ],
  };
}

function moved(state: SessionState, { turnId, place }: Event<'moved'>): Transition {
  const open = state.open;
  if (open?.turnId !== turnId || place <= open.reply.place) return unchanged(state);
  return unchanged({ ...state, open: { ...open, reply: { ...open.reply, place } } });
}

function turnUnreadable(state: SessionState, event: Event<'turn-unreadable'>): Transition {
  if (event.problem.status === 404) return gone(state);
  if (event.problem.status === 401) return unchanged(state);
  return readTurn(state, event.turnId, event.problem.retryAfterMs ?? 2000);
}

/** A page never takes back what a later event brought: messages are immutable, and merged. */
function loaded(state: SessionState, { session, page, leaf }: Event<'loaded'>): Transition {
  const isFirst = state.messages.size === 0;
  const messages = merged(state, page.messages);
  const version = Math.max(state.version, page.version, session.version);
  const hasOlder = isFirst ? page.hasMore : state.hasOlder;
  const unreadTurn = null;
  let next: SessionState = {
    ...state,
    view: 'ready',
    session,
    messages,
    version,
    hasOlder,
    unreadTurn,
  };
  next = { ...next, ...followed(next, isFirst, leaf), problem: null, writtenBeside: null };
  const open = state.open;
  if (open) {
    const reply = messages.get(open.replyId);
    if (reply) return replyEnded(next, reply, version, null);
    if (session.open_turn_id !== open.turnId && session.version >= state.version) {
      return readTurn(next, open.turnId);
    }
    return unchanged(next);
  }
  const turnId = session.open_turn_id;
  const isPosted = state.outbox.some((each) => each.state === 'posting');
  if (!turnId || isPosted) return unchanged(next);
  return readTurn({ ...next, unreadTurn: turnId }, turnId);
}

/** Extends the shown branch with its continuation; another branch is only pointed out. */
function followed(
  state: SessionState,
  isFirst: boolean,
  wanted: string | undefined,
): Pick<SessionState, 'leaf' | 'branchedElsewhere'> {
  const { messages, leaf, open } = state;
  const newest = newestMessage(messages);
  if (isFirst || leaf === null) {
    const start = wanted && messages.has(wanted) ? newestLeaf(messages, wanted) : newest?.id;
    return { leaf: leaf ?? start ?? null, branchedElsewhere: false };
  }
  const shown = open?.replyId === leaf && !messages.has(leaf) ? open.parentId : leaf;
  const next = leaf === shown && messages.has(leaf) ? newestLeaf(messages, leaf) : leaf;
  const branched = newest !== null && !isAncestor(messages, shown, newest.id);
  const isOlder = newest !== null && newest.version <= (messages.get(shown)?.version ?? 0);
  const isElsewhere = (branched && !isOlder) || hasSibling(messages, state.writtenBeside);
  return { leaf: next, branchedElsewhere: state.branchedElsewhere || isElsewhere };
}

function hasSibling(messages: Messages, id: string | null): boolean {
  const own = id === null ? undefined : messages.get(id);
  if (!own) return false;
  return (childrenOf(messages).get(own.parent_message_id) ?? []).length > 1;
}

function merged(state: SessionState, page: HistoryPage['messages']): SessionState['messages'] {
  const messages = new Map(state.messages);
  for (const message of page) {
    const known = messages.get(message.id);
    // Equal messages keep their identity, and with it what was rendered of them.
    const isSame = known?.version === message.version && known.created_at === message.created_at;
    if (!isSame) messages.set(message.id, message);
  }
  return messages;
}

function loadFailed(state: SessionState, event: Event<'load-failed'>): Transition {
  const { problem } = event;
  if (problem.status === 404) {
    return event.isUnsent ? unchanged({ ...state, view: 'ready' }) : gone(state);
  }
  const hasContent = state.messages.size > 0;
  const wait = problem.retryAfterMs ?? 2000;
  if (problem.code === 'projection_behind') {
    return { state: { ...state, view: 'behind' }, effects: [{ do: 'load', afterMs: wait }] };
  }
  if (problem.status === 401) return unchanged(state);
  return {
    state: { ...state, view: hasContent ? state.view : 'failed', problem },
    effects: [{ do: 'load', afterMs: Math.max(wait, 3000) }],
  };
}

/** Timers of a sleeping tab cannot be trusted: look at the session, resume, post again. */
function awake(state: SessionState): Transition {
  const posted = postAgain(state);
  const open = posted.state.open;
  const isAttached = !open || open.link === 'live' || open.link === 'attaching';
  const attached = isAttached
    ? unchanged(posted.state)
    : attach(posted.state, { ...open, link: 'attaching', tries: 0 }, 0);
  return {
    state: attached.state,
    effects: [...posted.effects, { do: 'load', afterMs: 0 }, ...attached.effects],
  };
}

function selected(state: SessionState, leaf: string): string {
  if (state.open?.parentId === leaf) return state.open.replyId;
  const newest = newestLeaf(state.messages, leaf);
  return state.open && isAncestor(state.messages, leaf, state.open.parentId)
    ? state.open.replyId
    : newest;
}

function gone(state: SessionState): Transition {
  return {
    state: { ...initialState(state.id), view: 'gone' },
    effects: [{ do: 'detach' }, { do: 'forget' }, { do: 'list-changed' }],
  };
}
