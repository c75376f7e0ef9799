/** Shell of one session's state machine: runs its effects and notifies its listeners. */
import { network, Problem } from '../api/problem';
import { readTurnEvents } from '../api/turnStream';
import { broadcast } from './broadcast';
import { isAncestor } from './messageTree';
import { reduceSession } from './reduceSession';
import {
  cancelTurn,
  postSending,
  readHistory,
  readSession,
  readTurn,
  resumeTurn,
  startSession,
} from './sessionRequests';
import {
  type Effect,
  initialState,
  type Sending,
  type SessionEvent,
  type SessionState,
} from './sessionState';
import { forgetSession, hasUnsentStart, returnToDraft, storeOutbox } from './storedContent';
import { isEnd, type TurnEvent } from './turnEvents';

export interface Surroundings {
  announce(what: 'started' | 'completed' | 'failed' | 'cancelled', text: string): void;
  listChanged(): void;
  /** null: all sessions, or all but those that a list of them shows again. */
  gone(sessionId: string | null): void;
}

export class SessionController {
  private state: SessionState;
  private readonly listeners = new Set<() => void>();
  private readonly timers = new Map<Effect['do'], ReturnType<typeof setTimeout>>();
  private stream: AbortController | null = null;
  private frame = 0;
  private isLoading = false;
  private mustLoadAgain = false;
  /** The leaf that the address asks for, at the first load. */
  wantedLeaf: string | undefined;

  constructor(
    id: string,
    private readonly surroundings: Surroundings,
    outbox: readonly Sending[] = [],
  ) {
    this.state = initialState(id, outbox);
  }

  readonly snapshot = (): SessionState => this.state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  get isWatched(): boolean {
    return this.listeners.size > 0;
  }

  readonly dispatch = (event: SessionEvent): void => {
    const before = this.state;
    const { state, effects } = reduceSession(before, event);
    this.state = state;
    // Before anything is posted: an entry must survive the death of this tab.
    if (before.outbox !== state.outbox) storeOutbox(before.outbox, state.outbox);
    for (const effect of effects) this.schedule(effect);
    if (state.version > before.version) {
      broadcast({ session: state.id, version: state.version });
      if (event.type === 'loaded' && before.version > 0) this.surroundings.listChanged();
    }
    if (before !== state) this.notify(event.type === 'delta');
  };

  load(): void {
    this.schedule({ do: 'load', afterMs: 0 });
  }

  async loadOlder(): Promise<void> {
    let oldest: string | null = null;
    let version = Number.POSITIVE_INFINITY;
    for (const message of this.state.messages.values()) {
      if (message.version < version) [oldest, version] = [message.id, message.version];
    }
    const page = await readHistory(this.state.id, 0, oldest);
    this.dispatch({ type: 'older-loaded', page });
  }

  /** Loads earlier messages until this one is known, and shows its branch. */
  async reveal(messageId: string): Promise<void> {
    while (!this.state.messages.has(messageId) && this.state.hasOlder) {
      const known = this.state.messages.size;
      await this.loadOlder();
      if (this.state.messages.size === known) return;
    }
    const { messages, leaf, open } = this.state;
    const end = open && leaf === open.replyId ? open.parentId : leaf;
    if (messages.has(messageId) && !(end && isAncestor(messages, messageId, end))) {
      this.dispatch({ type: 'leaf-selected', leaf: messageId });
    }
  }

  private notify(isDelta: boolean): void {
    if (!isDelta) {
      for (const listener of this.listeners) listener();
    } else if (this.frame === 0) {
      // At most one update a frame, however many deltas arrive.
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        for (const listener of this.listeners) listener();
      });
    }
  }

  private schedule(effect: Effect): void {
    if (effect.do === 'detach') {
      this.clear('attach');
      this.stream?.abort();
      return;
    }
    this.clear(effect.do);
    const wait = 'afterMs' in effect ? effect.afterMs : 0;
    if (wait === 0) this.run(effect);
    else {
      // With jitter: a restarted gateway must not be met by everybody at once.
      const later = wait * (0.75 + Math.random() / 2);
      this.timers.set(
        effect.do,
        setTimeout(() => this.run(effect), later),
      );
    }
  }

  private clear(kind: Effect['do']): void {
    clearTimeout(this.timers.get(kind));
    this.timers.delete(kind);
  }

  private run(effect: Effect): void {
    switch (effect.do) {
      case 'post':
        void this.post(effect.key, effect.attempt);
        break;
      case 'attach':
        void this.attach(effect.turnId, effect.place, effect.attempt);
        break;
      case 'read-turn':
        void this.readTurn(effect.turnId);
        break;
      case 'load':
        void this.loadNow();
        break;
      case 'cancel':
        void this.cancel(effect.turnId);
        break;
      case 'return-to-draft':
        returnToDraft(this.state.id, effect.content);
        break;
      case 'announce':
        this.surroundings.announce(effect.what, effect.text);
        break;
      case 'list-changed':
        this.surroundings.listChanged();
        break;
      case 'forget':
        forgetSession(this.state.id);
        broadcast({ gone: this.state.id });
        this.surroundings.gone(this.state.id);
        break;
      case 'detach':
        break;
    }
  }

  private async post(key: string, attempt: number): Promise<void> {
    const sending = this.state.outbox.find((each) => each.key === key);
    if (!sending) return;
    const signal = this.openStream();
    let started = false;
    try {
      if (sending.start && !this.state.session) {
        this.dispatch({ type: 'session-started', session: await startSession(sending) });
      }
      const response = await postSending(sending, signal);
      await readTurnEvents(response, (event) => {
        if (signal.aborted) return;
        if (event.type === 'turn.started') {
          started = true;
          this.dispatch({ type: 'turn-started', key, event, attempt, at: Date.now() });
        } else this.receive(event);
      });
      if (!started) throw network(new Error('The stream ended before the turn started.'));
      this.closed(signal, attempt, null);
    } catch (error) {
      const problem = asProblem(error);
      if (started) this.closed(signal, attempt, problem);
      else this.dispatch({ type: 'post-failed', key, problem });
    }
  }

  private async attach(turnId: string, place: number, attempt: number): Promise<void> {
    const signal = this.openStream();
    try {
      const response = await resumeTurn(turnId, place, signal);
      if (response.status === 204) {
        this.dispatch({ type: 'reply-complete', attempt });
        return;
      }
      this.dispatch({ type: 'stream-opened', attempt });
      await readTurnEvents(response, (event) => {
        if (!signal.aborted) this.receive(event);
      });
      this.closed(signal, attempt, null);
    } catch (error) {
      this.closed(signal, attempt, asProblem(error));
    }
  }

  private openStream(): AbortSignal {
    this.stream?.abort();
    broadcast({ streams: true });
    this.stream = new AbortController();
    return this.stream.signal;
  }

  private receive(event: TurnEvent): void {
    const turnId = this.state.open?.turnId ?? '';
    if (isEnd(event)) this.dispatch({ type: 'reply-ended', event });
    else if (event.type === 'reply.delta') this.dispatch({ type: 'delta', turnId, event });
    else if (event.type === 'unknown' && event.sequence_number !== null) {
      this.dispatch({ type: 'moved', turnId, place: event.sequence_number });
    }
  }

  private closed(signal: AbortSignal, attempt: number, problem: Problem | null): void {
    if (signal.aborted) return;
    this.dispatch({ type: 'stream-closed', attempt, at: Date.now(), problem });
  }

  private async readTurn(turnId: string): Promise<void> {
    try {
      this.dispatch({ type: 'turn-read', turn: await readTurn(turnId), at: Date.now() });
    } catch (error) {
      this.dispatch({ type: 'turn-unreadable', turnId, problem: asProblem(error) });
    }
  }

  /** One load at a time; a request meanwhile makes one more. */
  private async loadNow(): Promise<void> {
    if (this.isLoading) {
      this.mustLoadAgain = true;
      return;
    }
    this.isLoading = true;
    try {
      const session = await readSession(this.state.id);
      const page = await readHistory(this.state.id, this.state.version, null);
      this.dispatch({ type: 'loaded', session, page, leaf: this.wantedLeaf });
    } catch (error) {
      const isUnsent = this.state.session === null && hasUnsentStart(this.state.id);
      this.dispatch({ type: 'load-failed', problem: asProblem(error), isUnsent });
    } finally {
      this.isLoading = false;
    }
    if (this.mustLoadAgain) {
      this.mustLoadAgain = false;
      await this.loadNow();
    }
  }

  private async cancel(turnId: string): Promise<void> {
    try {
      await cancelTurn(turnId);
      this.dispatch({ type: 'stop-answered', turnId });
    } catch (error) {
      this.dispatch({ type: 'stop-failed', turnId, problem: asProblem(error) });
    }
  }
}

function asProblem(error: unknown): Problem {
  return error instanceof Problem ? error : network(error);
}
