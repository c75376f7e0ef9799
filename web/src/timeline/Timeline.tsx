import { memo, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { usePreferences } from '../app/preferences';
import { useText } from '../i18n/language';
import { useTimes } from '../i18n/times';
import type { SessionController } from '../turns/sessionController';
import type { SessionState } from '../turns/sessionState';
import { Icon } from '../ui/icons';
import { MessageRow } from './MessageRow';
import { RunningReply } from './RunningReply';
import { type Row, rowsOf, runningBranches, shownPart } from './rows';
import { SendingRow } from './SendingRow';
import { useFollow, useKeptPlace } from './useFollow';

interface Properties {
  state: SessionState;
  controller: SessionController;
  name: string;
}

export function Timeline({ state, controller, name }: Properties) {
  const t = useText();
  const { follow } = usePreferences();
  const scroller = useRef<HTMLElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const { messages, open, outbox, failures } = state;
  const { end, running } = shownPart(state);
  const known = useRef<readonly Row[]>([]);
  const rows = useMemo(() => {
    known.current = rowsOf(messages, end, known.current);
    return known.current;
  }, [messages, end]);
  const parentId = running?.parentId;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the text of the turn does not matter.
  const branches = useMemo(
    () => (running ? runningBranches(messages, running) : null),
    [messages, parentId],
  );
  const { isAway, toEnd } = useFollow(scroller, content, !follow);
  useKeptPlace(scroller, rows.find((row) => row.kind === 'message')?.key ?? '');
  const sentCount = outbox.length;
  // biome-ignore lint/correctness/useExhaustiveDependencies: whoever sends wants to see it.
  useEffect(() => {
    if (sentCount > 0) toEnd();
  }, [sentCount]);
  const select = useCallback(
    (leaf: string) => controller.dispatch({ type: 'leaf-selected', leaf }),
    [controller],
  );
  return (
    <section className="timeline" aria-label={t.messages} ref={scroller} data-region tabIndex={-1}>
      <div className="measure" ref={content}>
        {state.hasOlder && <Older controller={controller} />}
        <StoredRows
          rows={rows}
          name={name}
          failures={failures}
          controller={controller}
          isBusy={open !== null || sentCount > 0}
          isEnd={running === null && sentCount === 0}
        />
        {running && (
          <RunningReply
            key={running.replyId}
            open={running}
            branches={branches}
            name={name}
            onSelect={select}
          />
        )}
        {outbox.map((sending) => (
          <SendingRow key={sending.key} sending={sending} />
        ))}
      </div>
      {isAway && (
        <button type="button" className="to-end" onClick={toEnd}>
          <Icon name="down" />
          {open ? t.newTextBelow : t.toEnd}
        </button>
      )}
    </section>
  );
}

interface StoredRowsProperties {
  rows: readonly Row[];
  name: string;
  failures: SessionState['failures'];
  controller: SessionController;
  isBusy: boolean;
  isEnd: boolean;
}

/** Not rendered again while text streams: its cost does not depend on what is above it. */
const StoredRows = memo(function StoredRows(properties: StoredRowsProperties) {
  const { rows, name, failures, controller, isBusy, isEnd } = properties;
  const lastOwn = rows.findLast((row) => row.kind === 'message' && row.message.role === 'user');
  const last = rows.at(-1);
  return rows.map((row) =>
    row.kind === 'day' ? (
      <Day key={row.key} date={row.date} />
    ) : (
      <MessageRow
        key={row.key}
        message={row.message}
        branches={row.branches}
        name={name}
        failure={failures.get(row.key) ?? null}
        isLast={isEnd && row === last}
        isBusy={isBusy}
        isTurnStart={row === lastOwn}
        controller={controller}
      />
    ),
  );
});

function Day({ date }: { date: Date }) {
  const times = useTimes();
  return (
    <div className="day">
      <time dateTime={date.toISOString()} title={times.exact(date)}>
        {times.day(date)}
      </time>
    </div>
  );
}

function Older({ controller }: { controller: SessionController }) {
  const t = useText();
  const button = useRef<HTMLButtonElement>(null);
  const [isLoading, setIsLoading] = useState(false);
  const load = useCallback(() => {
    setIsLoading(true);
    void controller
      .loadOlder()
      .catch(() => undefined)
      .finally(() => setIsLoading(false));
  }, [controller]);
  useEffect(() => {
    const element = button.current;
    if (!element || isLoading) return;
    const observer = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) load();
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [load, isLoading]);
  return (
    <button
      ref={button}
      type="button"
      className="text-button older"
      aria-disabled={isLoading}
      onClick={() => !isLoading && load()}
    >
      {isLoading ? t.loading : t.loadOlder}
    </button>
  );
}
