/** Runs the state machine against the model server; every answer may be lost, late or repeated. */
import { Problem } from '../../api/problem';
import { reduceSession } from '../reduceSession';
import {
  type Effect,
  initialState,
  type Sending,
  type SessionEvent,
  type SessionState,
} from '../sessionState';
import { ModelServer } from './modelServer';

const LOST = new Problem(0, 'network', '');
const MAX_STEPS = 5_000;

export class Simulation {
  readonly server = new ModelServer();
  readonly returned: string[] = [];
  readonly posted: Sending[] = [];
  state: SessionState;
  /** What localStorage has: survives a crash. */
  private stored: readonly Sending[] = [];
  private pending: Effect[] = [];
  private stream: { turnId: string; place: number; attempt: number } | null = null;
  private count = 0;

  constructor(private readonly random: () => number) {
    this.state = this.opened();
  }

  submit(content: string): void {
    const sending: Sending = {
      key: `key-${this.count++}`,
      sessionId: 'session',
      content,
      at: 0,
      state: 'queued',
      tries: 0,
      stop: false,
    };
    this.dispatch({ type: 'submitted', sending });
  }

  dispatch(event: SessionEvent): void {
    const { state, effects } = reduceSession(this.state, event);
    this.state = state;
    this.stored = state.outbox;
    for (const effect of effects) {
      // A later effect of a kind replaces an earlier one, as in the controller.
      this.pending = this.pending.filter((each) => each.do !== effect.do);
      if (effect.do === 'detach') this.detach();
      else this.pending.push(effect);
    }
  }

  /** One thing happens: a request is answered or lost, text arrives, the stream breaks. */
  step(isReliable = false): void {
    const choice = this.random() % 6;
    if (this.stream && (choice < 3 || this.pending.length === 0)) this.advance(isReliable);
    else {
      const [effect] = this.pending.splice(this.random() % Math.max(this.pending.length, 1), 1);
      if (effect) this.run(effect, !isReliable && this.random() % 3 === 0);
    }
    if (choice === 5 && this.server.openTurnId) this.server.end();
  }

  /** The tab dies and is opened again: only what was stored is left. */
  crash(): void {
    const outbox = this.stored;
    this.state = this.opened();
    this.pending = [];
    this.stream = null;
    this.dispatch({ type: 'version-moved' });
    for (const sending of outbox) {
      const state = sending.state === 'queued' ? 'queued' : 'unknown';
      this.dispatch({ type: 'submitted', sending: { ...sending, state } });
    }
    this.dispatch({ type: 'signed-in' });
  }

  /** Lets everything come to rest on a network without faults. */
  settle(): void {
    this.dispatch({ type: 'visible' });
    for (let step = 0; step < MAX_STEPS; step++) {
      const isAtRest = this.pending.length === 0 && !this.stream && this.state.outbox.length === 0;
      if (isAtRest && !this.state.open && !this.server.openTurnId) break;
      if (isAtRest) this.dispatch({ type: 'version-moved' });
      this.step(true);
      if (this.server.openTurnId && step % 7 === 0) this.server.end();
    }
    this.dispatch({ type: 'version-moved' });
    for (let step = 0; this.pending.length > 0 && step < MAX_STEPS; step++) this.step(true);
  }

  private opened(): SessionState {
    return initialState('session');
  }

  private run(effect: Effect, isLost: boolean): void {
    switch (effect.do) {
      case 'post':
        this.post(effect.key, effect.attempt, isLost);
        break;
      case 'attach':
        if (isLost) this.closed(effect.attempt, LOST);
        else if (this.server.ended(effect.turnId)?.sequence_number === effect.place) {
          this.dispatch({ type: 'reply-complete', attempt: effect.attempt });
        } else {
          this.stream = { turnId: effect.turnId, place: effect.place, attempt: effect.attempt };
          this.dispatch({ type: 'stream-opened', attempt: effect.attempt });
        }
        break;
      case 'read-turn':
        if (isLost) {
          this.dispatch({ type: 'turn-unreadable', turnId: effect.turnId, problem: LOST });
        } else this.dispatch({ type: 'turn-read', turn: this.server.read(effect.turnId), at: 0 });
        break;
      case 'load':
        if (isLost) this.dispatch({ type: 'load-failed', problem: LOST, isUnsent: false });
        else {
          const session = this.server.session();
          this.dispatch({ type: 'loaded', session, page: this.server.page() });
        }
        break;
      case 'cancel':
        if (this.server.openTurnId === effect.turnId) this.server.end('cancelled');
        this.dispatch(
          isLost
            ? { type: 'stop-failed', turnId: effect.turnId, problem: LOST }
            : { type: 'stop-answered', turnId: effect.turnId },
        );
        break;
      case 'return-to-draft':
        this.returned.push(effect.content);
        break;
      default:
        break;
    }
  }

  private post(key: string, attempt: number, isLost: boolean): void {
    const sending = this.state.outbox.find((each) => each.key === key);
    if (!sending) return;
    this.posted.push(sending);
    // Lost on the way there, or on the way back.
    if (isLost && this.random() % 2 === 0) {
      this.dispatch({ type: 'post-failed', key, problem: LOST });
      return;
    }
    try {
      const event = this.server.post(sending, `reply to ${sending.content} 👍🏽`);
      if (isLost) this.dispatch({ type: 'post-failed', key, problem: LOST });
      else {
        this.stream = { turnId: event.turn_id, place: 0, attempt };
        this.dispatch({ type: 'turn-started', key, event, attempt, at: 0 });
      }
    } catch (error) {
      this.dispatch({ type: 'post-failed', key, problem: error as Problem });
    }
  }

  private advance(isReliable: boolean): void {
    const { stream } = this;
    if (!stream) return;
    const roll = isReliable ? 0 : this.random() % 8;
    if (roll === 7) {
      this.stream = null;
      this.closed(stream.attempt, null);
      return;
    }
    // Some of the text is lost now and then: a gap.
    const skipped = roll === 6 ? 1 : 0;
    const { delta, place } = this.server.deltaAfter(
      stream.turnId,
      stream.place + skipped,
      1 + (this.random() % 5),
    );
    const event = { type: 'reply.delta' as const, sequence_number: place, delta };
    if (delta) this.dispatch({ type: 'delta', turnId: stream.turnId, event });
    if (this.stream === stream) {
      stream.place = place;
      const ended = this.server.ended(stream.turnId);
      if (!delta && ended) {
        this.stream = null;
        this.dispatch({ type: 'reply-ended', event: ended });
        // Every event may come twice.
        this.dispatch({ type: 'reply-ended', event: ended });
      }
    }
  }

  private closed(attempt: number, problem: Problem | null): void {
    this.dispatch({ type: 'stream-closed', attempt, at: 0, problem });
  }

  private detach(): void {
    this.stream = null;
    this.pending = this.pending.filter((each) => each.do !== 'attach');
  }
}
