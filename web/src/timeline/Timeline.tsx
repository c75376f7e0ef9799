import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { usePreferences } from '../app/preferences';
import { useText } from '../i18n/language';
import { useTimes } from '../i18n/times';
import type { SessionController } from '../turns/sessionController';
import type { SessionState } from '../turns/sessionState';
import { Icon } from '../ui/icons';
import { MessageRow } from './MessageRow';
import { RunningReply } from './RunningReply';
import { type Row, rememberedChildren, rowsOf } from './rows';
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
  const [children] = useState(rememberedChildren);
  const rows = rowsOf(state, children(state.messages));
  const { isAway, toEnd } = useFollow(scroller, content, !follow);
  const firstMessage = rows.find((row) => row.kind === 'message')?.key ?? '';
  useKeptPlace(scroller, firstMessage);
  const sentCount = state.outbox.length;
  // biome-ignore lint/correctness/useExhaustiveDependencies: whoever sends wants to see it.
  useEffect(() => {
    if (sentCount > 0) toEnd();
  }, [sentCount]);
  const select = useCallback(
    (leaf: string) => controller.dispatch({ type: 'leaf-selected', leaf }),
    [controller],
  );
  const lastOwn = rows.findLast((row) => row.kind === 'message' && row.message.role === 'user');
  const last = rows.at(-1);
  return (
    <section className="timeline" aria-label={t.messages} ref={scroller} data-region tabIndex={-1}>
      <div className="measure" ref={content}>
        {state.hasOlder && <Older controller={controller} />}
        {rows.map((row) => (
          <RowView
            key={row.key}
            row={row}
            state={state}
            name={name}
            isLast={row === last}
            isTurnStart={row === lastOwn && state.outbox.length === 0}
            controller={controller}
            onSelect={select}
          />
        ))}
      </div>
      {isAway && (
        <button type="button" className="to-end" onClick={toEnd}>
          <Icon name="down" />
          {state.open ? t.newTextBelow : t.toEnd}
        </button>
      )}
    </section>
  );
}

interface RowProperties extends Properties {
  row: Row;
  isLast: boolean;
  isTurnStart: boolean;
  onSelect: (id: string) => void;
}

function RowView({ row, state, name, isLast, isTurnStart, controller, onSelect }: RowProperties) {
  switch (row.kind) {
    case 'day':
      return <Day date={row.date} />;
    case 'message':
      return (
        <StableRow
          row={row}
          name={name}
          isLast={isLast}
          isTurnStart={isTurnStart}
          isBusy={state.open !== null || state.outbox.length > 0}
          failure={state.failures.get(row.key) ?? null}
          controller={controller}
        />
      );
    case 'running':
      return (
        <RunningReply open={row.open} branches={row.branches} name={name} onSelect={onSelect} />
      );
    case 'sending':
      return <SendingRow sending={row.sending} />;
  }
}

/** Gives a message's row the same branches as long as they are equal: it is memoised. */
function StableRow({
  row,
  ...others
}: { row: Extract<Row, { kind: 'message' }> } & Omit<
  Parameters<typeof MessageRow>[0],
  'message' | 'branches'
>) {
  const { branches } = row;
  const key = branches ? `${branches.index}:${branches.ids.join()}` : '';
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key stands for the branches.
  const stable = useMemo(() => branches, [key]);
  return <MessageRow message={row.message} branches={stable} {...others} />;
}

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
