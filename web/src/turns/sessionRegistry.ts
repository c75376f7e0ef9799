/** The sessions that this tab has open, and what keeps them in step with other tabs and devices. */
import { broadcast, onBroadcast } from './broadcast';
import { SessionController, type Surroundings } from './sessionController';
import { readVersion } from './sessionRequests';
import type { Sending } from './sessionState';
import { adoptOutbox, forgetAllContent } from './storedContent';

const MAX_IDLE_SESSIONS = 20;
const PARK_AFTER_MS = 30_000;
const POLL_ACTIVE_MS = 1_500;
const POLL_IDLE_MS = 10_000;
const ACTIVE_MS = 5 * 60_000;
// A closed tab releases its lock a moment after the next page has loaded.
const ADOPT_AFTER_MS = [0, 1_000, 5_000];

export class SessionRegistry {
  private readonly controllers = new Map<string, SessionController>();
  private shown: SessionController | null = null;
  private etag = '';
  private lastActivity = Date.now();
  private pollTimer: ReturnType<typeof setTimeout> | undefined;
  private parkTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly surroundings: Surroundings) {
    onBroadcast((message) => {
      if ('gone' in message) this.controllers.get(message.gone)?.dispatch({ type: 'gone' });
      else if ('erased' in message) this.noteErasure(message.erased);
      else if ('streams' in message) {
        if (document.visibilityState === 'hidden') this.park();
      } else {
        const controller = this.controllers.get(message.session);
        const known = controller?.snapshot().version ?? Number.POSITIVE_INFINITY;
        if (message.version > known) controller?.dispatch({ type: 'version-moved' });
        surroundings.listChanged();
      }
    });
    document.addEventListener('visibilitychange', () => this.visibilityChanged());
    addEventListener('pageshow', (event) => event.persisted && this.wake());
    addEventListener('online', () => this.wake());
    for (const kind of ['pointerdown', 'keydown']) {
      addEventListener(kind, () => this.noteActivity(), { passive: true });
    }
  }

  /** Sends what tabs that no longer live have left. */
  restoreOutbox(): void {
    for (const wait of ADOPT_AFTER_MS) setTimeout(() => void this.adopt(), wait);
  }

  /** The controller of a session, which loads it unless it is about to be started. */
  open(
    id: string,
    options: { isNew?: boolean; leaf?: string | undefined } = {},
  ): SessionController {
    let controller = this.controllers.get(id);
    if (!controller) {
      controller = new SessionController(id, this.surroundings);
      controller.wantedLeaf = options.leaf;
      this.controllers.set(id, controller);
      if (!options.isNew) controller.load();
      this.evict();
    }
    return controller;
  }

  /** Follows the session that is shown, and lets go of the one before. */
  show(id: string | null): void {
    const next = id ? (this.controllers.get(id) ?? null) : null;
    if (next === this.shown) return;
    this.shown?.dispatch({ type: 'hidden' });
    this.shown = next;
    this.etag = '';
    if (next && next.snapshot().view !== 'loading') next.dispatch({ type: 'visible' });
    this.schedulePoll();
  }

  wake(): void {
    for (const controller of this.controllers.values()) {
      if (controller === this.shown || controller.snapshot().outbox.length > 0) {
        controller.dispatch({ type: 'visible' });
      }
    }
    this.schedulePoll();
  }

  signedIn(): void {
    for (const controller of this.controllers.values()) controller.dispatch({ type: 'signed-in' });
  }

  forget(id: string): void {
    this.controllers.get(id)?.dispatch({ type: 'gone' });
    broadcast({ gone: id });
    this.controllers.delete(id);
  }

  /** All sessions were erased, or some: all but those under a legal hold. */
  forgetAll(erased: 'all' | 'some'): void {
    this.noteErasure(erased);
    broadcast({ erased });
  }

  clear(): void {
    for (const id of [...this.controllers.keys()]) {
      this.controllers.get(id)?.dispatch({ type: 'hidden' });
    }
    this.controllers.clear();
    this.shown = null;
    clearTimeout(this.pollTimer);
  }

  private noteErasure(erased: 'all' | 'some'): void {
    // A load shows which of the open ones remain.
    const kept = erased === 'some' ? [...this.controllers.keys()] : [];
    const type = erased === 'some' ? 'version-moved' : 'gone';
    for (const controller of this.controllers.values()) controller.dispatch({ type });
    forgetAllContent(kept);
    this.surroundings.gone(null);
  }

  private async adopt(): Promise<void> {
    const bySession = new Map<string, Sending[]>();
    for (const sending of await adoptOutbox()) {
      bySession.set(sending.sessionId, [...(bySession.get(sending.sessionId) ?? []), sending]);
    }
    for (const [id, sendings] of bySession) {
      const isNew = sendings.some((each) => each.start);
      const controller = this.open(id, { isNew });
      for (const sending of sendings) {
        // Its outcome is unknown: posted again with the same key and body.
        const state = sending.state === 'queued' ? 'queued' : 'unknown';
        controller.dispatch({ type: 'submitted', sending: { ...sending, state } });
      }
      controller.dispatch({ type: 'signed-in' });
    }
  }

  private noteActivity(): void {
    const wasIdle = Date.now() - this.lastActivity > ACTIVE_MS;
    this.lastActivity = Date.now();
    if (wasIdle) this.schedulePoll();
  }

  private visibilityChanged(): void {
    clearTimeout(this.parkTimer);
    if (document.visibilityState === 'visible') this.wake();
    else {
      clearTimeout(this.pollTimer);
      this.parkTimer = setTimeout(() => this.park(), PARK_AFTER_MS);
    }
  }

  private park(): void {
    for (const each of this.controllers.values()) each.dispatch({ type: 'hidden' });
  }

  private schedulePoll(): void {
    clearTimeout(this.pollTimer);
    if (!this.shown || document.visibilityState === 'hidden') return;
    const isActive = Date.now() - this.lastActivity < ACTIVE_MS;
    const wait = isActive ? POLL_ACTIVE_MS : POLL_IDLE_MS;
    this.pollTimer = setTimeout(() => void this.poll(), wait);
  }

  private async poll(): Promise<void> {
    const controller = this.shown;
    const state = controller?.snapshot();
    // A stream brings its own news.
    if (controller && state?.session && state.view === 'ready' && !state.open) {
      try {
        const moved = await readVersion(state.id, this.etag);
        if (moved && controller === this.shown) {
          this.etag = moved.etag;
          if (moved.version > controller.snapshot().version) {
            controller.dispatch({ type: 'version-moved' });
          }
        }
      } catch (error) {
        const status = (error as { status?: number }).status;
        if (status === 404) controller.dispatch({ type: 'version-moved' });
      }
    }
    this.schedulePoll();
  }

  private evict(): void {
    for (const [id, controller] of this.controllers) {
      if (this.controllers.size <= MAX_IDLE_SESSIONS) return;
      const { open, outbox } = controller.snapshot();
      const isIdle = !open && outbox.length === 0 && !controller.isWatched;
      if (isIdle && controller !== this.shown) this.controllers.delete(id);
    }
  }
}
