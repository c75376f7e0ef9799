import { useInfiniteQuery } from '@tanstack/react-query';
import { type KeyboardEvent, type MouseEvent, memo, useEffect, useId, useState } from 'react';
import { api, data } from '../api/client';
import type { components } from '../api/schema';
import { goTo, messagePath } from '../app/route';
import { useText } from '../i18n/language';
import { useTimes } from '../i18n/times';
import { Dialog } from '../ui/Dialog';
import { codeOf, problemText } from '../ui/problemText';
import { Skeleton } from '../ui/Skeleton';
import { marked, snippetOf } from './snippet';

type Hit = components['schemas']['SearchResult'];

const TYPING_MS = 250;
const MAX_QUERY = 500;

export function SearchDialog({ within, onClose }: { within: string | null; onClose: () => void }) {
  const t = useText();
  const id = useId();
  const [typed, setTyped] = useState('');
  const [isWithin, setIsWithin] = useState(within !== null);
  const query = useSettled(typed.trim());
  const sessionId = isWithin ? within : null;
  const results = useInfiniteQuery({
    queryKey: ['search', query, sessionId],
    enabled: query !== '',
    retry: 1,
    // Erased messages must not be found in the page's memory.
    gcTime: 0,
    initialPageParam: null as string | null,
    queryFn: ({ pageParam, signal }) =>
      data(
        api.POST('/v1/search', {
          body: { query, limit: 20, after: pageParam, session_id: sessionId },
          signal,
        }),
      ),
    getNextPageParam: (page) => (page.has_more ? page.last_id : null),
  });
  const hits = results.data?.pages.flatMap((page) => page.data) ?? [];
  return (
    <Dialog title={t.search} onClose={onClose} isWide>
      <search onKeyDown={moveAmongHits}>
        <label htmlFor={id} className="visually-hidden">
          {t.searchLabel}
        </label>
        <input
          id={id}
          type="search"
          placeholder={t.searchLabel}
          maxLength={MAX_QUERY}
          dir="auto"
          autoComplete="off"
          value={typed}
          onChange={(event) => setTyped(event.target.value)}
        />
        {within && (
          <label className="check-line">
            <input
              type="checkbox"
              checked={isWithin}
              onChange={(event) => setIsWithin(event.target.checked)}
            />
            {t.searchWithin}
          </label>
        )}
        <p className="list-note" role="status">
          {query === ''
            ? t.searchHint
            : results.isError
              ? problemText(codeOf(results.error), t)
              : results.data && (hits.length === 0 ? t.noHits : t.hits(hits.length))}
        </p>
        {results.isError && (
          <button type="button" className="button" onClick={() => void results.refetch()}>
            {t.retry}
          </button>
        )}
        {query !== '' && results.isPending && <Skeleton rows={4} />}
        <ol className="hits">
          {hits.map((hit) => (
            <Entry key={hit.message.id} hit={hit} query={query} />
          ))}
        </ol>
        {results.hasNextPage && (
          <button
            type="button"
            className="text-button"
            onClick={() => void results.fetchNextPage()}
            aria-disabled={results.isFetchingNextPage}
          >
            {results.isFetchingNextPage ? t.loading : t.moreHits}
          </button>
        )}
      </search>
    </Dialog>
  );
}

const Entry = memo(function Entry({ hit, query }: { hit: Hit; query: string }) {
  const t = useText();
  const times = useTimes();
  const { message } = hit;
  const path = messagePath(hit.session_id, message.id);
  const date = new Date(message.created_at);
  const open = (event: MouseEvent): void => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    goTo(path);
  };
  return (
    <li>
      <a href={path} onClick={open}>
        <span className="hit-title" dir="auto">
          {hit.session_title || t.untitled}
        </span>
        <small>
          {message.role === 'user' ? t.you : t.answer} ·{' '}
          <time dateTime={message.created_at}>
            {times.day(date)}, {times.time(date)}
          </time>
        </small>
        <span className="hit-text" dir="auto">
          {marked(snippetOf(message.content, query), query).map(([text, isMark], index) =>
            // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one text.
            isMark ? <mark key={index}>{text}</mark> : text,
          )}
        </span>
      </a>
    </li>
  );
});

/** The arrow keys move between the field and the hits. */
function moveAmongHits(event: KeyboardEvent<HTMLElement>): void {
  const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
  if (step === 0 || event.nativeEvent.isComposing) return;
  const stops = [
    ...event.currentTarget.querySelectorAll<HTMLElement>('input[type=search], .hits a'),
  ];
  const at = stops.indexOf(document.activeElement as HTMLElement);
  const next = stops[at + step];
  if (at < 0 || !next) return;
  event.preventDefault();
  next.focus();
}

/** The text once nothing was typed for a moment. */
function useSettled(text: string): string {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}
