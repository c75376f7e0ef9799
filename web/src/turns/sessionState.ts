/** The state of one session, the events that change it, and the effects that they ask for. */
import type { Problem } from '../api/problem';
import type { Messages } from './messageTree';
import type { ReplyText } from './replyText';
import type {
  ApiError,
  Message,
  ReplyDelta,
  ReplyEnded,
  Session,
  Turn,
  TurnStarted,
} from './turnEvents';

export type View = 'loading' | 'ready' | 'behind' | 'gone' | 'failed';

/**
 * A message, or a request for another reply, that may not have reached the server. It is stored
 * before it is posted, and every attempt has the same key and the same body.
 */
export interface Sending {
  readonly key: string;
  readonly sessionId: string;
  readonly content: string;
  /** Absent: the shown leaf at the time of posting. null starts the conversation over. */
  readonly parentId?: string | null;
  /** The parent is the end of the shown branch, so that the message is no edit. */
  readonly continues?: boolean;
  /** The user message to which another reply is requested; `content` is then empty. */
  readonly regenerates?: string;
  /** The session does not exist yet. */
  readonly start?: { readonly assistantId: string; readonly temporary: boolean };
  /** Unix time in milliseconds. */
  readonly at: number;
  readonly state: 'queued' | 'posting' | 'unknown' | 'signed-out';
  readonly tries: number;
  readonly stop: boolean;
}

export type Link = 'attaching' | 'live' | 'lost' | 'parked' | 'signed-out';

export interface OpenTurn {
  readonly turnId: string;
  readonly replyId: string;
  readonly parentId: string;
  readonly reply: ReplyText;
  readonly link: Link;
  /** The stream whose events count; those of earlier attempts are late. */
  readonly attempt: number;
  readonly lostAt: number | null;
  readonly tries: number;
  readonly startedAt: number;
  readonly stop: 'no' | 'asked' | 'sent';
}

export interface SessionState {
  readonly id: string;
  readonly view: View;
  readonly session: Session | null;
  readonly version: number;
  readonly messages: Messages;
  readonly leaf: string | null;
  readonly hasOlder: boolean;
  readonly open: OpenTurn | null;
  /** A turn that runs, of which nothing else is known yet: nothing is posted meanwhile. */
  readonly unreadTurn: string | null;
  readonly outbox: readonly Sending[];
  /** Why replies failed, by their message id, as far as this page knows. */
  readonly failures: ReadonlyMap<string, ApiError>;
  /** Why the session could not be loaded, or an action failed. */
  readonly problem: Problem | null;
  readonly branchedElsewhere: boolean;
  /** An own message, before which others wrote: it may have a sibling of theirs. */
  readonly writtenBeside: string | null;
  readonly attempts: number;
  readonly mendedJoins: number;
}

export type SessionEvent =
  | { type: 'submitted'; sending: Sending }
  | { type: 'session-started'; session: Session }
  | { type: 'turn-started'; key: string; event: TurnStarted; attempt: number; at: number }
  | { type: 'post-failed'; key: string; problem: Problem }
  | { type: 'stream-opened'; attempt: number }
  | { type: 'delta'; turnId: string; event: ReplyDelta }
  | { type: 'moved'; turnId: string; place: number }
  | { type: 'reply-ended'; event: ReplyEnded }
  | { type: 'stream-closed'; attempt: number; at: number; problem: Problem | null }
  | { type: 'reply-complete'; attempt: number }
  | { type: 'turn-read'; turn: Turn; at: number }
  | { type: 'turn-unreadable'; turnId: string; problem: Problem }
  | { type: 'loaded'; session: Session; page: HistoryPage; leaf?: string | undefined }
  | { type: 'older-loaded'; page: HistoryPage }
  | { type: 'load-failed'; problem: Problem; isUnsent: boolean }
  | { type: 'session-changed'; session: Session }
  | { type: 'version-moved' }
  | { type: 'stop-requested' }
  | { type: 'stop-answered'; turnId: string }
  | { type: 'stop-failed'; turnId: string; problem: Problem }
  | { type: 'leaf-selected'; leaf: string }
  | { type: 'hidden' }
  | { type: 'visible' }
  | { type: 'signed-in' }
  | { type: 'problem-dismissed' }
  | { type: 'gone' };

/** Messages of all branches; `hasMore` is about those before the oldest. */
export interface HistoryPage {
  readonly messages: readonly Message[];
  readonly version: number;
  readonly hasMore: boolean;
}

export type Effect =
  | { do: 'post'; key: string; attempt: number; afterMs: number }
  | { do: 'attach'; turnId: string; place: number; attempt: number; afterMs: number }
  | { do: 'detach' }
  | { do: 'read-turn'; turnId: string; afterMs: number }
  | { do: 'load'; afterMs: number }
  | { do: 'cancel'; turnId: string; afterMs: number }
  | { do: 'return-to-draft'; content: string }
  | { do: 'announce'; what: 'started' | 'completed' | 'failed' | 'cancelled'; text: string }
  | { do: 'list-changed' }
  | { do: 'forget' };

export interface Transition {
  readonly state: SessionState;
  readonly effects: readonly Effect[];
}

export function initialState(id: string, outbox: readonly Sending[] = []): SessionState {
  return {
    id,
    view: 'loading',
    session: null,
    version: 0,
    messages: new Map(),
    leaf: null,
    hasOlder: false,
    open: null,
    unreadTurn: null,
    outbox,
    failures: new Map(),
    problem: null,
    branchedElsewhere: false,
    writtenBeside: null,
    attempts: 0,
    mendedJoins: 0,
  };
}
