/** The outbox of a session: what happens to messages until the server has acknowledged them. */
import { mayBeCommitted } from '../api/problem';
import type { Effect, Sending, SessionEvent, SessionState, Transition } from './sessionState';

// Idempotency keys are remembered for 24 h: an older entry could be sent twice.
export const MAX_AGE_MS = 23 * 3600 * 1000;
const MAX_WAIT_MS = 15_000;

export function submitted(state: SessionState, sending: Sending): Transition {
  if (state.outbox.some((each) => each.key === sending.key)) return { state, effects: [] };
  return { state: { ...state, outbox: [...state.outbox, sending], problem: null }, effects: [] };
}

/** Posts the first entry if nothing is under way. */
export function postNext({ state, effects }: Transition): Transition {
  const [first] = state.outbox;
  const isReady = state.view === 'ready' || (state.view === 'loading' && first?.start);
  const isBusy = state.open !== null || state.unreadTurn !== null;
  if (first?.state !== 'queued' || isBusy || !isReady) return { state, effects };
  const continues = first.continues ?? first.parentId === undefined;
  const parentId = first.parentId === undefined ? state.leaf : first.parentId;
  const sending: Sending = { ...first, parentId, continues, state: 'posting' };
  return post(state, sending, 0, effects);
}

export function postFailed(
  state: SessionState,
  { key, problem }: Extract<SessionEvent, { type: 'post-failed' }>,
): Transition {
  const sending = state.outbox.find((each) => each.key === key);
  if (!sending) return { state, effects: [] };
  if (problem.status === 401) {
    return { state: replace(state, { ...sending, state: 'signed-out' }), effects: [] };
  }
  if (problem.code === 'turn_open') {
    // Refused, so its key is unused and its parent may change: it follows the open turn.
    const { parentId, ...queued } = sending;
    const keeps = sending.regenerates !== undefined || parentId !== state.leaf;
    const again: Sending = { ...(keeps ? sending : queued), state: 'queued' };
    // Which turn that is, the session knows.
    const waiting = { ...replace(state, again), unreadTurn: 'unknown' };
    return { state: waiting, effects: [{ do: 'load', afterMs: 0 }] };
  }
  if (mayBeCommitted(problem)) {
    const tries = sending.tries + 1;
    const wait = Math.max(Math.min(500 * 2 ** (tries - 1), MAX_WAIT_MS), problem.retryAfterMs ?? 0);
    return post(state, { ...sending, state: 'unknown', tries }, wait, []);
  }
  const effects: Effect[] = [{ do: 'return-to-draft', content: sending.content }];
  return { state: { ...without(state, key), problem }, effects };
}

/** Posts entries again whose outcome is unknown, without waiting. */
export function postAgain(state: SessionState): Transition {
  const [first] = state.outbox;
  if (!first || first.state === 'queued' || first.state === 'posting') {
    return { state, effects: [] };
  }
  return post(state, { ...first, state: 'unknown' }, 0, []);
}

export function without(state: SessionState, key: string): SessionState {
  return { ...state, outbox: state.outbox.filter((each) => each.key !== key) };
}

export function replace(state: SessionState, sending: Sending): SessionState {
  const outbox = state.outbox.map((each) => (each.key === sending.key ? sending : each));
  return { ...state, outbox };
}

function post(
  state: SessionState,
  sending: Sending,
  afterMs: number,
  effects: readonly Effect[],
): Transition {
  const attempt = state.attempts + 1;
  const effect: Effect = { do: 'post', key: sending.key, attempt, afterMs };
  return {
    state: { ...replace(state, sending), attempts: attempt },
    effects: [...effects, effect],
  };
}
