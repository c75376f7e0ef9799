import { type KeyboardEvent, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { usePreferences } from '../app/preferences';
import { useText } from '../i18n/language';
import type { SessionController } from '../turns/sessionController';
import type { SessionState } from '../turns/sessionState';
import { Icon } from '../ui/icons';
import { useVisible } from '../ui/useVisible';
import { ReplyRow } from './ReplyRow';
import { isMessage, type Row, rowsOf, runningBranches, shownPart } from './rows';
import { SendingRow } from './SendingRow';
import { MAX_MOUNTED, StoredRows } from './StoredRows';
import { useScroll } from './useScroll';

const STEPS = ['PageUp', 'PageDown'];

interface Properties {
  state: SessionState;
  controller: SessionController;
  name: string;
  /** A message that was asked for, by a search. */
  targetId: string | null;
}

export function Timeline({ state, controller, name, targetId }: Properties) {
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
  const { isAway, toEnd, toRow } = useScroll(scroller, content, !follow);
  const sentCount = outbox.length;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the sender expects to see the message.
  useEffect(() => {
    if (sentCount > 0) toEnd();
  }, [sentCount]);
  const isFound = targetId !== null && rows.some((row) => row.key === targetId);
  useEffect(() => {
    const row = isFound ? content.current?.querySelector(`[data-message="${targetId}"]`) : null;
    if (row) toRow(row);
  }, [isFound, targetId, toRow]);
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
  const stored = useMemo(() => rows.filter(isMessage).length, [rows]);
  const count = stored + (running ? 1 : 0);
  const isWindowed = rows.length > MAX_MOUNTED;
  const setSize = isWindowed ? (state.hasOlder ? -1 : count) : undefined;
  return (
    <section
      className="timeline"
      aria-label={t.messages}
      ref={scroller}
      data-region
      data-windowed={isWindowed ? '' : undefined}
      tabIndex={-1}
      onKeyDown={moveFocus}
    >
      <div className="measure" ref={content}>
        {state.hasOlder && <Older controller={controller} />}
        <StoredRows
          rows={earlier}
          setSize={setSize}
          name={name}
          failures={failures}
          controller={controller}
          isBusy={isBusy}
          isEnd={isEnd && lastReply === null}
          targetId={isFound ? targetId : null}
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
            position={setSize && count}
            setSize={setSize}
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

/**
 * The keys of a feed: to the message before or after, and to the first or last one. Where rows are
 * missing in the document, the browser scrolls to its ends.
 */
function moveFocus(event: KeyboardEvent<HTMLElement>): void {
  const { key, target, currentTarget } = event;
  const isWindowed = currentTarget.hasAttribute('data-windowed');
  if (!(isWindowed ? STEPS : [...STEPS, 'Home', 'End']).includes(key)) return;
  if (target instanceof HTMLTextAreaElement || event.altKey || event.ctrlKey || event.metaKey) {
    return;
  }
  const rows = [...currentTarget.querySelectorAll<HTMLElement>('[data-row]')];
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const from = at < 0 ? rows.length : at;
  const row = {
    PageUp: rows[Math.max(0, from - 1)],
    PageDown: rows[from + 1],
    Home: rows[0],
    End: rows.at(-1),
  }[key];
  if (!row) return;
  event.preventDefault();
  row.focus();
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
