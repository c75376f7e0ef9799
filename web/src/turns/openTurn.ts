/** The open turn of a session: its stream is joined, lost, parked and resumed here. */
import { EMPTY, finish, join } from './replyText';
import type { Effect, OpenTurn, SessionEvent, SessionState, Transition } from './sessionState';
import type { ApiError, Message, Turn } from './turnEvents';

type Event<Type extends SessionEvent['type']> = Extract<SessionEvent, { type: Type }>;

// Reset after a delta, not after a connection: a stream that opens and breaks is not healthy.
const RESUME_WAITS_MS = [0, 250, 500, 1000, 2000, 4000, 5000];

export function unchanged(state: SessionState): Transition {
  return { state, effects: [] };
}

export function deltaReceived(state: SessionState, { turnId, event }: Event<'delta'>): Transition {
  const open = state.open;
  if (open?.turnId !== turnId) return unchanged(state);
  const reply = join(open.reply, event.delta, event.sequence_number);
  if (reply === null) return attach(state, open, 0);
  if (reply === open.reply) return unchanged(state);
  const live: OpenTurn = { ...open, reply, link: 'live', lostAt: null, tries: 0 };
  const effects: Effect[] =
    open.reply.place === 0 ? [{ do: 'announce', what: 'started', text: '' }] : [];
  return { state: { ...state, open: live }, effects };
}

export function streamOpened(state: SessionState, { attempt }: Event<'stream-opened'>): Transition {
  const open = state.open;
  if (open?.attempt !== attempt) return unchanged(state);
  return unchanged({ ...state, open: { ...open, link: 'live', lostAt: null } });
}

export function streamClosed(state: SessionState, event: Event<'stream-closed'>): Transition {
  const open = state.open;
  if (open?.attempt !== event.attempt || open.link === 'parked') return unchanged(state);
  if (event.problem?.status === 404) return readTurn(state, open.turnId);
  if (event.problem?.status === 401) {
    return unchanged({ ...state, open: { ...open, link: 'signed-out' } });
  }
  const wait = RESUME_WAITS_MS[Math.min(open.tries, RESUME_WAITS_MS.length - 1)] ?? 0;
  const lost: OpenTurn = {
    ...open,
    link: 'lost',
    lostAt: open.lostAt ?? event.at,
    tries: open.tries + 1,
  };
  return attach(state, lost, Math.max(wait, event.problem?.retryAfterMs ?? 0));
}

/** The server's stored message replaces what was streamed. */
export function replyEnded(
  state: SessionState,
  message: Message,
  version: number,
  error: ApiError | null,
): Transition {
  const messages = new Map(state.messages).set(message.id, message);
  const failures = error ? new Map(state.failures).set(message.id, error) : state.failures;
  const ended = { ...state, messages, failures, version: Math.max(state.version, version) };
  const open = state.open;
  if (open?.replyId !== message.id) return unchanged(ended);
  const { mended } = finish(open.reply, place(message), message.content);
  const what = message.status;
  return {
    state: { ...ended, open: null, mendedJoins: state.mendedJoins + Number(mended) },
    effects: [
      { do: 'detach' },
      { do: 'announce', what, text: message.content },
      { do: 'list-changed' },
    ],
  };
}

/** The state of a turn, read from the server: it runs, or it ended while nobody listened. */
export function turnRead(state: SessionState, turn: Turn, at: number): Transition {
  if (turn.reply) return replyEnded(state, turn.reply, turn.version, turn.error ?? null);
  const messages = new Map(state.messages).set(turn.message.id, turn.message);
  const known = { ...state, messages };
  if (state.open?.turnId === turn.id) return attach(known, state.open, 0);
  const open: OpenTurn = {
    turnId: turn.id,
    replyId: turn.reply_id,
    parentId: turn.message.id,
    reply: EMPTY,
    link: 'attaching',
    attempt: 0,
    lostAt: null,
    tries: 0,
    startedAt: at,
    stop: 'no',
  };
  const follows = state.leaf === null || state.leaf === turn.message.parent_message_id;
  const leaf = follows || state.leaf === turn.message.id ? turn.reply_id : state.leaf;
  return attach({ ...known, leaf }, open, 0);
}

/** Ends the attempt before and resumes at the place reached. */
export function attach(state: SessionState, open: OpenTurn, afterMs: number): Transition {
  const attempt = state.attempts + 1;
  const { turnId, reply } = open;
  return {
    state: { ...state, attempts: attempt, open: { ...open, attempt } },
    effects: [{ do: 'attach', turnId, place: reply.place, attempt, afterMs }],
  };
}

/** Lets go of the connection, of which a browser has six per server. */
export function park(state: SessionState): Transition {
  const open = state.open;
  if (!open || open.link === 'parked' || state.outbox.length > 0) return unchanged(state);
  return { state: { ...state, open: { ...open, link: 'parked' } }, effects: [{ do: 'detach' }] };
}

export function readTurn(state: SessionState, turnId: string, afterMs = 0): Transition {
  return { state, effects: [{ do: 'read-turn', turnId, afterMs }] };
}

export function stop(state: SessionState): Transition {
  const open = state.open;
  if (open) {
    if (open.stop !== 'no') return unchanged(state);
    const stopping: OpenTurn = { ...open, stop: 'asked' };
    return {
      state: { ...state, open: stopping },
      effects: [{ do: 'cancel', turnId: open.turnId, afterMs: 0 }],
    };
  }
  const [first, ...others] = state.outbox;
  if (!first || first.state === 'queued') return unchanged(state);
  return unchanged({ ...state, outbox: [{ ...first, stop: true }, ...others] });
}

function place(message: Message): number {
  return [...message.content].length;
}
