import { useEffect, useMemo, useState } from 'react';
import { Composer } from '../composer/Composer';
import { useText } from '../i18n/language';
import { useTimes } from '../i18n/times';
import { hueOf } from '../sessions/AssistantSwitcher';
import { type Assistant, DEFAULT_MAX_BYTES, useConfig } from '../sessions/queries';
import { SessionActions } from '../sessions/SessionActions';
import { Timeline } from '../timeline/Timeline';
import { newestElsewhere, newestMessage } from '../turns/messageTree';
import type { SessionController } from '../turns/sessionController';
import type { SessionState } from '../turns/sessionState';
import { Icon } from '../ui/icons';
import { problemText } from '../ui/problemText';
import { Skeleton } from '../ui/Skeleton';
import { useRegistry, useSessionState } from './context';
import { goTo, sessionPath } from './route';

interface Properties {
  sessionId: string | null;
  leaf: string | undefined;
  assistant: Assistant | null;
  assistantOf: (id: string) => Assistant | undefined;
  onMenu: () => void;
  onNew: () => void;
  onAssistantShown: (id: string) => void;
}

export function Conversation(properties: Properties) {
  const { sessionId } = properties;
  return sessionId ? (
    <OpenSession key={sessionId} {...properties} sessionId={sessionId} />
  ) : (
    <NewSession {...properties} />
  );
}

function NewSession({ assistant, onMenu, onNew }: Properties) {
  const t = useText();
  const registry = useRegistry();
  const maxBytes = useConfig().data?.max_message_bytes ?? DEFAULT_MAX_BYTES;
  const [temporary, setTemporary] = useState(false);
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
                <small>{t.temporaryNotice}</small>
              </span>
            </label>
          </>
        )}
      </div>
      <Composer
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

function OpenSession(properties: Properties & { sessionId: string }) {
  const { sessionId, leaf, assistantOf, onMenu, onNew, onAssistantShown } = properties;
  const registry = useRegistry();
  // The leaf counts at the first load only: then the registry knows the session.
  const controller = useMemo(() => registry.open(sessionId, { leaf }), [registry, sessionId, leaf]);
  const state = useSessionState(controller);
  const maxBytes = useConfig().data?.max_message_bytes ?? DEFAULT_MAX_BYTES;
  const assistantId = state.session?.assistant_id ?? state.outbox[0]?.start?.assistantId;
  const assistant = assistantId ? assistantOf(assistantId) : undefined;
  const name = assistant?.name ?? assistantId ?? '';

  useEffect(() => {
    registry.show(sessionId);
    return () => registry.show(null);
  }, [registry, sessionId]);
  useEffect(() => {
    if (assistantId) onAssistantShown(assistantId);
  }, [assistantId, onAssistantShown]);
  useLeafInAddress(state);
  const title = state.session?.title ?? '';
  useEffect(() => {
    document.title = `${state.open ? '● ' : ''}${title || 'Parley'}`;
    return () => {
      document.title = 'Parley';
    };
  }, [title, state.open]);

  if (state.view === 'gone') return <Gone {...properties} />;
  return (
    <main className="conversation">
      <Header name={name} title={title} onMenu={onMenu} onNew={onNew}>
        {state.session && <SessionActions session={state.session} controller={controller} />}
      </Header>
      <Notices state={state} controller={controller} />
      {state.view === 'loading' && state.outbox.length === 0 ? (
        <div className="timeline">
          <div className="measure">
            <Skeleton rows={8} />
          </div>
        </div>
      ) : (
        <Timeline state={state} controller={controller} name={name} />
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
function useLeafInAddress(state: SessionState): void {
  const { id, leaf, messages, open, view } = state;
  useEffect(() => {
    if (view !== 'ready' || messages.size === 0) return;
    if (location.pathname !== sessionPath(id)) return;
    const newest = open ? open.replyId : newestMessage(messages)?.id;
    goTo(sessionPath(id, leaf === newest ? null : leaf), 'replace');
  }, [id, leaf, messages, open, view]);
}

interface HeaderProperties {
  name: string;
  title: string;
  onMenu: () => void;
  onNew: () => void;
  children?: React.ReactNode;
}

function Header({ name, title, onMenu, onNew, children }: HeaderProperties) {
  const t = useText();
  return (
    <header className="bar">
      <button
        type="button"
        className="icon-button only-narrow"
        aria-label={t.openList}
        onClick={onMenu}
        data-menu
      >
        <Icon name="menu" />
      </button>
      <div className="heading" dir="auto">
        <span className="assistant-name">{name}</span>
        {title && <h1 title={title}>{title}</h1>}
      </div>
      <button
        type="button"
        className="icon-button only-narrow"
        aria-label={t.newSession}
        onClick={onNew}
      >
        <Icon name="plus" />
      </button>
      {children}
    </header>
  );
}

function Notices({ state, controller }: { state: SessionState; controller: SessionController }) {
  const t = useText();
  const times = useTimes();
  const isOnline = useOnline();
  const { session, problem, view } = state;
  const dismiss = () => controller.dispatch({ type: 'problem-dismissed' });
  const showNewest = () => {
    const newest = newestElsewhere(state.messages, state.open?.parentId ?? state.leaf);
    if (newest) controller.dispatch({ type: 'leaf-selected', leaf: newest.id });
  };
  return (
    <div className="notices">
      {!isOnline && <Notice text={t.offline} />}
      {isOnline && problem && (
        <Notice
          text={
            view === 'failed'
              ? `${t.loadFailed} ${problemText(problem.code, t)}`
              : problemText(problem.code, t)
          }
          isDanger
          action={
            view === 'failed'
              ? { label: t.retry, run: () => controller.load() }
              : { label: t.dismiss, run: dismiss }
          }
        />
      )}
      {view === 'behind' && <Notice text={t.historyBehind} />}
      {state.branchedElsewhere && (
        <Notice text={t.branchedElsewhere} action={{ label: t.showNewest, run: showNewest }} />
      )}
      {session?.archived && <Notice text={t.archived} />}
      {session?.expires_at && (
        <Notice text={t.expiresAt(times.exact(new Date(session.expires_at)))} />
      )}
    </div>
  );
}

interface NoticeProperties {
  text: string;
  isDanger?: boolean;
  action?: { label: string; run: () => void };
}

function Notice({ text, isDanger, action }: NoticeProperties) {
  return (
    <p className={isDanger ? 'notice danger' : 'notice'} role={isDanger ? 'alert' : undefined}>
      <Icon name={isDanger ? 'warning' : 'clock'} />
      <span>{text}</span>
      {action && (
        <button type="button" className="text-button" onClick={action.run}>
          {action.label}
        </button>
      )}
    </p>
  );
}

function Gone({ onMenu, onNew }: Properties) {
  const t = useText();
  return (
    <main className="conversation">
      <Header name="" title="" onMenu={onMenu} onNew={onNew} />
      <div className="welcome">
        <h1>{t.gone}</h1>
        <p className="muted">{t.goneHint}</p>
        <button type="button" className="button primary" onClick={onNew}>
          {t.newSession}
        </button>
      </div>
    </main>
  );
}

function useOnline(): boolean {
  const [isOnline, setIsOnline] = useState(() => navigator.onLine);
  useEffect(() => {
    const update = () => setIsOnline(navigator.onLine);
    addEventListener('online', update);
    addEventListener('offline', update);
    return () => {
      removeEventListener('online', update);
      removeEventListener('offline', update);
    };
  }, []);
  return isOnline;
}
