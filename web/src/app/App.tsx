import { useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { SignIn } from '../account/SignIn';
import { currentAccount, subscribeToAccount } from '../account/token';
import { CLOCK_WRONG } from '../api/clock';
import { useText } from '../i18n/language';
import { useTimes } from '../i18n/times';
import {
  type Assistant,
  invalidateSessions,
  switchAssistant,
  useAssistants,
  useConfig,
} from '../sessions/queries';
import { Sidebar } from '../sessions/Sidebar';
import { clearCaches } from '../turns/contentCaches';
import { STORAGE_FAILED } from '../turns/storedContent';
import { Icon } from '../ui/icons';
import { LiveRegions, silence } from '../ui/liveRegion';
import { problemText } from '../ui/problemText';
import { showToast, ToastArea } from '../ui/toast';
import { Conversation } from './Conversation';
import { useRegistry } from './context';
import { Dialogs } from './Dialogs';
import { setPreferences, usePreferences } from './preferences';
import { goTo, sessionPath, useRoute } from './route';
import { setSpeaker } from './surroundings';
import { useShortcuts } from './useShortcuts';

export function App() {
  const account = useSyncExternalStore(subscribeToAccount, currentAccount);
  const client = useQueryClient();
  const registry = useRegistry();
  const { token, user, reason } = account;
  const lastUser = useRef(user);
  useEffect(() => {
    if (reason === 'signed-out' || user !== lastUser.current) {
      registry.clear();
      client.clear();
      clearCaches();
      silence();
    }
    lastUser.current = user;
    if (token) {
      registry.restoreOutbox();
      registry.signedIn();
    }
  }, [token, user, reason, registry, client]);
  return (
    <>
      <LiveRegions />
      {token ? <Page user={account.user} /> : <SignIn account={account} />}
      <ToastArea />
    </>
  );
}

function Page({ user }: { user: string }) {
  const t = useText();
  const route = useRoute();
  const client = useQueryClient();
  const preferences = usePreferences();
  const { data: assistants = [], failureReason, failureCount } = useAssistants();
  const [isListOpen, setIsListOpen] = useState(false);
  const [isHelpOpen, setIsHelpOpen] = useState(false);
  const [isListFolded, setIsListFolded] = useState(false);
  const [shownAssistant, setShownAssistant] = useState<string | null>(null);
  const isNarrow = useNarrow();
  useDrawer(isListOpen, () => setIsListOpen(false));
  useNewVersion();
  useStorageNotice();
  useClockNotice();

  const fallback = assistants.find((each) => each.default) ?? assistants[0];
  const wanted = (route.sessionId && shownAssistant) || preferences.assistantId;
  const selected = assistants.find((each) => each.id === wanted) ?? fallback ?? null;
  setSpeaker(selected?.name ?? '');

  const openNew = useCallback(() => {
    goTo('/');
    setIsListOpen(false);
    document.getElementById('composer')?.focus();
  }, []);
  const noteAssistant = useCallback((id: string) => {
    setShownAssistant(id);
    setPreferences({ assistantId: id });
  }, []);
  useShortcuts({
    onNew: openNew,
    onList: () => setIsListFolded((folded) => !folded),
    onSearch: () => goTo('/search'),
    onFind: () => goTo(`/search?in=${route.sessionId}`),
    onHelp: () => setIsHelpOpen(true),
  });

  async function select(assistant: Assistant): Promise<void> {
    noteAssistant(assistant.id);
    try {
      const { session } = await switchAssistant(assistant.id);
      invalidateSessions(client);
      goTo(sessionPath(session.id));
    } catch (cause) {
      showToast({ text: problemText((cause as { code?: string }).code ?? 'network', t) });
    }
  }

  return (
    <div className={`app${isListOpen ? ' list-open' : ''}${isListFolded ? ' list-folded' : ''}`}>
      <a className="skip-link" href="#composer">
        {t.skipToComposer}
      </a>
      <Sidebar
        user={user}
        assistants={assistants}
        assistantId={selected?.id ?? null}
        shownId={route.sessionId}
        isHidden={isNarrow && !isListOpen}
        onAssistant={(assistant) => void select(assistant)}
        onNew={openNew}
        onClose={() => setIsListOpen(false)}
      />
      {isListOpen && (
        <button
          type="button"
          className="backdrop"
          aria-label={t.closeList}
          onClick={() => setIsListOpen(false)}
        />
      )}
      <div className="content" inert={isNarrow && isListOpen}>
        {failureReason && failureCount >= FAILURES_SHOWN && (
          <p className="notice danger" role="alert">
            <Icon name="warning" />
            <span>{problemText((failureReason as { code?: string }).code ?? 'network', t)}</span>
            <button
              type="button"
              className="text-button"
              onClick={() => void client.invalidateQueries({ queryKey: ['assistants'] })}
            >
              {t.retry}
            </button>
          </p>
        )}
        <Conversation
          sessionId={route.sessionId}
          leaf={route.leaf}
          messageId={route.messageId}
          assistant={selected}
          assistantOf={(id) => assistants.find((each) => each.id === id)}
          onMenu={() => setIsListOpen(true)}
          onNew={openNew}
          onAssistantShown={noteAssistant}
        />
      </div>
      <Dialogs
        route={route}
        user={user}
        assistantId={selected?.id ?? null}
        isHelpOpen={isHelpOpen}
        onHelp={setIsHelpOpen}
      />
    </div>
  );
}

// The first attempts may meet a server that is starting.
const FAILURES_SHOWN = 3;
const NARROW = '(max-width: 1099px)';

function useNarrow(): boolean {
  const [isNarrow, setIsNarrow] = useState(() => matchMedia(NARROW).matches);
  useEffect(() => {
    const query = matchMedia(NARROW);
    const update = () => setIsNarrow(query.matches);
    query.addEventListener('change', update);
    return () => query.removeEventListener('change', update);
  }, []);
  return isNarrow;
}

/** Moves the focus into the drawer and back to its button; Escape closes it. */
function useDrawer(isOpen: boolean, close: () => void): void {
  const wasOpen = useRef(false);
  useEffect(() => {
    if (isOpen) document.querySelector<HTMLElement>('.sidebar .new-session')?.focus();
    else if (wasOpen.current) document.querySelector<HTMLElement>('[data-menu]')?.focus();
    wasOpen.current = isOpen;
  }, [isOpen]);
  useEffect(() => {
    if (!isOpen) return;
    const onKeyDown = (event: KeyboardEvent) => event.key === 'Escape' && close();
    addEventListener('keydown', onKeyDown);
    return () => removeEventListener('keydown', onKeyDown);
  }, [isOpen, close]);
}

/** Offers a reload once the gateway serves another build than the one that runs here. */
function useNewVersion(): void {
  const t = useText();
  const build = useConfig().data?.build;
  const [first, setFirst] = useState(build);
  useEffect(() => {
    if (first === undefined) setFirst(build);
    else if (build && build !== first) {
      showToast({ text: t.newVersion, action: { label: t.reload, run: () => location.reload() } });
    }
  }, [build, first, t]);
}

/** Says once that this browser keeps nothing. */
function useStorageNotice(): void {
  const t = useText();
  useEffect(() => {
    const show = () => showToast({ text: t.storageFailed });
    addEventListener(STORAGE_FAILED, show, { once: true });
    return () => removeEventListener(STORAGE_FAILED, show);
  }, [t]);
}

/** Says once that the clock of this device is wrong. */
function useClockNotice(): void {
  const t = useText();
  const times = useTimes();
  useEffect(() => {
    const show = (event: Event) => {
      showToast({ text: t.clockWrong(times.duration((event as CustomEvent<number>).detail)) });
    };
    addEventListener(CLOCK_WRONG, show, { once: true });
    return () => removeEventListener(CLOCK_WRONG, show);
  }, [t, times]);
}
