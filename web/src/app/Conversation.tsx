import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import { Composer } from '../composer/Composer';
import { useText } from '../i18n/language';
import { useTimes } from '../i18n/times';
import { hueOf } from '../sessions/AssistantSwitcher';
import { type Assistant, DEFAULT_MAX_BYTES, useConfig } from '../sessions/queries';
import { SessionActions } from '../sessions/SessionActions';
import { Timeline } from '../timeline/Timeline';
import { newestMessage } from '../turns/messageTree';
import type { SessionController } from '../turns/sessionController';
import type { SessionState } from '../turns/sessionState';
import { Skeleton } from '../ui/Skeleton';
import { useRegistry, useSessionState } from './context';
import { Header } from './Header';
import { Notices } from './Notices';
import { goTo, sessionPath } from './route';

// Of a server that does not say.
const DEFAULT_TEMPORARY_SECONDS = 86_400;

interface Properties {
  sessionId: string | null;
  leaf: string | undefined;
  messageId: string | null;
  assistant: Assistant | null;
  assistantOf: (id: string) => Assistant | undefined;
  onMenu: () => void;
  onNew: () => void;
  onAssistantShown: (id: string) => void;
}

export function Conversation(properties: Properties) {
  const { sessionId } = properties;
  return sessionId ? (
    <Session key={sessionId} {...properties} sessionId={sessionId} />
  ) : (
    <NewSession {...properties} />
  );
}

function NewSession({ assistant, onMenu, onNew }: Properties) {
  const t = useText();
  const registry = useRegistry();
  const maxBytes = useConfig().data?.max_message_bytes ?? DEFAULT_MAX_BYTES;
  const [temporary, setTemporary] = useState(false);
  const life = useTimes().duration(assistant?.temporary_seconds ?? DEFAULT_TEMPORARY_SECONDS);
  function submit(content: string): void {
    if (!assistant) return;
    const sessionId = crypto.randomUUID();
    registry.open(sessionId, { isNew: true }).dispatch({
      type: 'submitted',
      sending: {
        key: crypto.randomUUID(),
        sessionId,
        content,
        parentId: null,
        start: { assistantId: assistant.id, temporary },
        at: Date.now(),
        state: 'queued',
        tries: 0,
        stop: false,
      },
    });
    goTo(sessionPath(sessionId));
  }
  return (
    <main className="conversation">
      <Header name={assistant?.name ?? ''} title="" onMenu={onMenu} onNew={onNew} />
      <div className="welcome">
        {assistant && (
          <>
            <span className="avatar large" aria-hidden="true" data-hue={hueOf(assistant.id)}>
              {[...assistant.name][0]?.toUpperCase()}
            </span>
            <h1 dir="auto">{t.greeting(assistant.name)}</h1>
            {assistant.description && <p dir="auto">{assistant.description}</p>}
            <p className="muted">{t.greetingHint}</p>
            <label className="check">
              <input
                type="checkbox"
                checked={temporary}
                onChange={(event) => setTemporary(event.target.checked)}
              />
              <span>
                {t.newTemporary}
                <small>{t.temporaryNotice(life)}</small>
              </span>
            </label>
          </>
        )}
      </div>
      <Composer
        key={assistant?.id}
        draftId={`new:${assistant?.id ?? ''}`}
        name={assistant?.name ?? ''}
        maxBytes={maxBytes}
        isAnswering={false}
        isStopping={false}
        isReadOnly={!assistant}
        onSubmit={submit}
        onStop={() => undefined}
        onEditLast={() => undefined}
      />
    </main>
  );
}

function Session(properties: Properties & { sessionId: string }) {
  const { sessionId, leaf } = properties;
  const registry = useRegistry();
  // The leaf counts at the first load only: then the registry knows the session.
  const controller = useMemo(() => registry.open(sessionId, { leaf }), [registry, sessionId, leaf]);
  const isGone = useSyncExternalStore(
    controller.subscribe,
    () => controller.snapshot().view === 'gone',
  );
  // A component of its own, which takes what was rendered out of memory when it goes.
  return isGone ? (
    <Gone {...properties} />
  ) : (
    <OpenSession {...properties} controller={controller} />
  );
}

interface OpenProperties extends Properties {
  sessionId: string;
  controller: SessionController;
}

function OpenSession(properties: OpenProperties) {
  const { sessionId, messageId, controller, assistantOf, onMenu, onNew, onAssistantShown } =
    properties;
  const registry = useRegistry();
  const state = useSessionState(controller);
  const maxBytes = useConfig().data?.max_message_bytes ?? DEFAULT_MAX_BYTES;
  const assistantId = state.session?.assistant_id ?? state.outbox[0]?.start?.assistantId;
  const assistant = assistantId ? assistantOf(assistantId) : undefined;
  // Until the session is known, the assistant that is chosen.
  const name = assistant?.name ?? assistantId ?? properties.assistant?.name ?? '';

  useEffect(() => {
    registry.show(sessionId);
    return () => registry.show(null);
  }, [registry, sessionId]);
  useEffect(() => {
    if (assistantId) onAssistantShown(assistantId);
  }, [assistantId, onAssistantShown]);
  useLeafInAddress(state, messageId);
  const isReady = state.view === 'ready';
  const revealed = useRef<string | null>(null);
  useEffect(() => {
    if (messageId && (!isReady || messageId === revealed.current)) return;
    revealed.current = messageId;
    if (messageId) void controller.reveal(messageId).catch(() => undefined);
  }, [controller, messageId, isReady]);
  const isWaiting = state.view === 'loading' || state.view === 'behind';
  const isUnknown = isWaiting && state.messages.size === 0 && state.outbox.length === 0;
  const title = state.session?.title ?? '';
  useEffect(() => {
    document.title = `${state.open ? '● ' : ''}${title || 'Parley'}`;
    return () => {
      document.title = 'Parley';
    };
  }, [title, state.open]);

  return (
    <main className="conversation">
      <Header name={name} title={title} onMenu={onMenu} onNew={onNew}>
        {state.session && <SessionActions session={state.session} controller={controller} />}
      </Header>
      <Notices state={state} controller={controller} />
      {isUnknown ? (
        <div className="timeline">
          <div className="measure">
            <Skeleton rows={8} />
          </div>
        </div>
      ) : (
        <Timeline state={state} controller={controller} name={name} targetId={messageId} />
      )}
      <Composer
        draftId={sessionId}
        name={name}
        maxBytes={maxBytes}
        isAnswering={state.open !== null || state.outbox.some((each) => each.state !== 'queued')}
        isStopping={state.open ? state.open.stop !== 'no' : state.outbox[0]?.stop === true}
        isReadOnly={false}
        onSubmit={(content) =>
          controller.dispatch({
            type: 'submitted',
            sending: {
              key: crypto.randomUUID(),
              sessionId,
              content,
              at: Date.now(),
              state: 'queued',
              tries: 0,
              stop: false,
            },
          })
        }
        onStop={() => controller.dispatch({ type: 'stop-requested' })}
        onEditLast={editLastMessage}
      />
    </main>
  );
}

function editLastMessage(): void {
  const buttons = document.querySelectorAll<HTMLElement>('.timeline [data-edit]');
  buttons.item(buttons.length - 1)?.click();
}

/** A branch that is not the newest is in the address, so that a reload finds it. */
function useLeafInAddress(state: SessionState, messageId: string | null): void {
  const { id, leaf, messages, open, view } = state;
  useEffect(() => {
    // An address that names a message stays as it is.
    if (view !== 'ready' || messages.size === 0 || messageId) return;
    if (location.pathname !== sessionPath(id)) return;
    const newest = open ? open.replyId : newestMessage(messages)?.id;
    goTo(sessionPath(id, leaf === newest ? null : leaf), 'replace');
  }, [id, leaf, messages, open, view, messageId]);
}

function Gone({ onMenu, onNew }: Properties) {
  const t = useText();
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => button.current?.focus(), []);
  return (
    <main className="conversation">
      <Header name="" title="" onMenu={onMenu} onNew={onNew} />
      <div className="welcome">
        <h1>{t.gone}</h1>
        <p className="muted">{t.goneHint}</p>
        <button ref={button} type="button" className="button primary" onClick={onNew}>
          {t.newSession}
        </button>
      </div>
    </main>
  );
}
