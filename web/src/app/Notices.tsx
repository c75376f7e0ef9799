import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { useText } from '../i18n/language';
import { useTimes } from '../i18n/times';
import { forkSession, invalidateSessions } from '../sessions/queries';
import { newestElsewhere } from '../turns/messageTree';
import type { SessionController } from '../turns/sessionController';
import type { SessionState } from '../turns/sessionState';
import { moveDraft } from '../turns/storedContent';
import { Icon } from '../ui/icons';
import { codeOf, problemText } from '../ui/problemText';
import { showToast } from '../ui/toast';
import { goTo, sessionPath } from './route';

/** What a reader has to know about a conversation, above its messages. */
export function Notices({
  state,
  controller,
}: {
  state: SessionState;
  controller: SessionController;
}) {
  const t = useText();
  const times = useTimes();
  const isOnline = useOnline();
  const { session, problem, view } = state;
  const continueInNew = useContinueInNew(state);
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
              : problem.code === 'session_full'
                ? { label: t.continueInNew, run: () => void continueInNew() }
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

/** In a copy of what is shown, or in an empty session where that is too long to be copied. */
function useContinueInNew({ id, session, leaf, messages }: SessionState): () => Promise<void> {
  const t = useText();
  const client = useQueryClient();
  return async () => {
    try {
      // While a reply runs, what leads to it.
      const fork = await forkSession(id, leaf && messages.has(leaf) ? leaf : null);
      invalidateSessions(client);
      moveDraft(id, fork.id);
      goTo(sessionPath(fork.id));
    } catch (error) {
      const code = codeOf(error);
      if (code !== 'fork_too_large') return showToast({ text: problemText(code, t) });
      moveDraft(id, `new:${session?.assistant_id ?? ''}`);
      goTo('/');
    }
  };
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
