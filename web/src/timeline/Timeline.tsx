import { memo, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { usePreferences } from '../app/preferences';
import { useText } from '../i18n/language';
import { useTimes } from '../i18n/times';
import type { SessionController } from '../turns/sessionController';
import type { SessionState } from '../turns/sessionState';
import { Icon } from '../ui/icons';
import { useVisible } from '../ui/useVisible';
import { OwnRow } from './OwnRow';
import { ReplyRow } from './ReplyRow';
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
  // biome-ignore lint/correctness/useExhaustiveDependencies: the sender expects to see the message.
  useEffect(() => {
    if (sentCount > 0) toEnd();
  }, [sentCount]);
  const isBusy = open !== null || sentCount > 0;
  const isEnd = running === null && sentCount === 0;
  // The last reply stays outside of the other rows: there it keeps its element when it ends.
  const lastRow = rows.at(-1);
  const lastReply =
    running === null && lastRow?.kind === 'message' && lastRow.message.role !== 'user'
      ? lastRow
      : null;
  const earlier = useMemo(() => (lastReply ? rows.slice(0, -1) : rows), [rows, lastReply]);
  const replyId = running?.replyId ?? lastReply?.key;
  return (
    <section className="timeline" aria-label={t.messages} ref={scroller} data-region tabIndex={-1}>
      <div className="measure" ref={content}>
        {state.hasOlder && <Older controller={controller} />}
        <StoredRows
          rows={earlier}
          name={name}
          failures={failures}
          controller={controller}
          isBusy={isBusy}
          isEnd={isEnd && lastReply === null}
        />
        {replyId && (
          <ReplyRow
            key={replyId}
            id={replyId}
            message={lastReply?.message ?? null}
            open={running}
            branches={lastReply ? lastReply.branches : branches}
            name={name}
            failure={failures.get(replyId) ?? null}
            isLast={isEnd}
            isBusy={isBusy}
            controller={controller}
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
  return rows.map((row) => {
    if (row.kind === 'day') return <Day key={row.key} date={row.date} />;
    const { key, message, branches } = row;
    const shared = { branches, isLast: isEnd && row === last, isBusy, controller };
    return message.role === 'user' ? (
      <OwnRow key={key} message={message} isTurnStart={row === lastOwn} {...shared} />
    ) : (
      <ReplyRow
        key={key}
        id={key}
        message={message}
        open={null}
        name={name}
        failure={failures.get(key) ?? null}
        {...shared}
      />
    );
  });
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
  useVisible(button, load, isLoading);
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
