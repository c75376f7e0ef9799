import { useQueryClient } from '@tanstack/react-query';
import { type MouseEvent, useMemo, useRef } from 'react';
import { goTo, sessionPath } from '../app/route';
import { useText } from '../i18n/language';
import { startOfDay, useTimes, useToday } from '../i18n/times';
import type { Session } from '../turns/turnEvents';
import { Skeleton } from '../ui/Skeleton';
import { useVisible } from '../ui/useVisible';
import { invalidateSessions, useSessions } from './queries';

// The first attempts may meet a server that is starting.
const FAILURES_SHOWN = 3;

interface Properties {
  assistantId: string | null;
  archived: boolean;
  shownId: string | null;
  onOpened: () => void;
}

export function SessionList({ assistantId, archived, shownId, onOpened }: Properties) {
  const t = useText();
  const client = useQueryClient();
  const query = useSessions(assistantId, archived);
  const sessions = useMemo(() => uniqueSessions(query.data?.pages ?? []), [query.data]);
  const groups = useGroups(sessions);
  const isFailing = query.isError || query.failureCount >= FAILURES_SHOWN;
  if (query.isPending && !isFailing) return <Skeleton rows={6} />;
  if (query.isPending || (query.isError && !query.data)) {
    return (
      <div className="list-note" role="alert">
        <p>{t.listFailed}</p>
        <button type="button" className="button" onClick={() => invalidateSessions(client)}>
          {t.retry}
        </button>
      </div>
    );
  }
  if (sessions.length === 0) {
    return <p className="list-note">{archived ? t.emptyArchive : t.emptyList}</p>;
  }
  return (
    <>
      {groups.map(([label, entries]) => (
        <section key={label} className="group" aria-label={label}>
          <h3>{label}</h3>
          <ul>
            {entries.map((session) => (
              <Entry
                key={session.id}
                session={session}
                isShown={session.id === shownId}
                onOpened={onOpened}
              />
            ))}
          </ul>
        </section>
      ))}
      {query.hasNextPage ? (
        <More isLoading={query.isFetchingNextPage} load={() => void query.fetchNextPage()} />
      ) : (
        sessions.length > 30 && <p className="list-note">{t.endOfList}</p>
      )}
    </>
  );
}

function Entry({
  session,
  isShown,
  onOpened,
}: {
  session: Session;
  isShown: boolean;
  onOpened: () => void;
}) {
  const t = useText();
  const path = sessionPath(session.id);
  const open = (event: MouseEvent): void => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    goTo(path);
    onOpened();
  };
  return (
    <li>
      <a href={path} aria-current={isShown ? 'page' : undefined} onClick={open} dir="auto">
        <span className="title">{session.title || t.untitled}</span>
        {session.open_turn_id && (
          <span className="running-mark">
            <span className="visually-hidden">{t.running}</span>
          </span>
        )}
      </a>
    </li>
  );
}

function More({ isLoading, load }: { isLoading: boolean; load: () => void }) {
  const t = useText();
  const button = useRef<HTMLButtonElement>(null);
  useVisible(button, load, isLoading);
  return (
    <button ref={button} type="button" className="text-button" onClick={load}>
      {isLoading ? t.loading : t.more}
    </button>
  );
}

/** A session that moved to the front while pages were fetched is in two of them. */
function uniqueSessions(pages: ReadonlyArray<{ data: Session[] }>): Session[] {
  const sessions = new Map<string, Session>();
  for (const page of pages) {
    for (const each of page.data) if (!sessions.has(each.id)) sessions.set(each.id, each);
  }
  return [...sessions.values()];
}

function useGroups(sessions: readonly Session[]): Array<[string, Session[]]> {
  const t = useText();
  const times = useTimes();
  const today = useToday();
  return useMemo(() => {
    const groups = new Map<string, Session[]>();
    for (const session of sessions) {
      const date = new Date(session.updated_at);
      const age = Math.round((today - startOfDay(date)) / 86_400_000);
      const isThisWeek = age > 1 && age <= 7;
      const label = isThisWeek ? t.earlierThisWeek : age > 7 ? times.month(date) : times.day(date);
      groups.set(label, [...(groups.get(label) ?? []), session]);
    }
    return [...groups];
  }, [sessions, t, times, today]);
}
