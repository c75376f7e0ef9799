import { memo, startTransition, useEffect, useMemo, useRef, useState } from 'react';
import { flushSync } from 'react-dom';
import { useTimes } from '../i18n/times';
import type { SessionController } from '../turns/sessionController';
import type { SessionState } from '../turns/sessionState';
import { OwnRow } from './OwnRow';
import { ReplyRow } from './ReplyRow';
import { groupsOf, type RowGroup } from './rowGroups';
import { isMessage, type Row } from './rows';

// Up to here all rows are in the document, where the browser's own search finds them.
export const MAX_MOUNTED = 200;
// Groups so near to what is in view are mounted.
const MARGIN = '150% 0px';
// Of a message that was never laid out.
const ROW_PX = 140;
// These hold what would be lost: text that is being edited, details that are open.
const IN_USE = 'textarea, details[open]';

interface Shared {
  name: string;
  failures: SessionState['failures'];
  controller: SessionController;
  isBusy: boolean;
}

interface Properties extends Shared {
  rows: readonly Row[];
  setSize: number | undefined;
  isEnd: boolean;
  /** Of a message that has to be mounted. */
  targetId: string | null;
}

/** Not rendered again while text streams: its cost does not depend on what is above it. */
export const StoredRows = memo(function StoredRows(properties: Properties) {
  const { rows, isEnd, targetId, ...shared } = properties;
  const known = useRef<readonly RowGroup[]>([]);
  const groups = useMemo(() => {
    known.current = groupsOf(rows, known.current);
    return known.current;
  }, [rows]);
  const lastOwn = rows.findLast((row) => row.kind === 'message' && row.message.role === 'user');
  const isPrinting = usePrinting();
  const isWindowed = rows.length > MAX_MOUNTED && !isPrinting;
  const firsts = useMemo(() => firstPositions(groups), [groups]);
  return groups.map((group, index) => (
    <Group
      key={group.key}
      rows={group.rows}
      first={firsts[index] ?? 1}
      isWindowed={isWindowed}
      isNearEnd={index >= groups.length - 2}
      isTarget={targetId !== null && group.rows.some((row) => row.key === targetId)}
      lastKey={isEnd && index === groups.length - 1 ? (group.rows.at(-1)?.key ?? null) : null}
      turnStartKey={index >= groups.length - 2 ? (lastOwn?.key ?? null) : null}
      {...shared}
    />
  ));
});

/** The position of the first message of each group, counted from 1. */
function firstPositions(groups: readonly RowGroup[]): number[] {
  let next = 1;
  return groups.map(({ rows }) => {
    const first = next;
    next += rows.filter(isMessage).length;
    return first;
  });
}

interface GroupProperties extends Shared {
  rows: readonly Row[];
  /** The position of the first message. */
  first: number;
  setSize: number | undefined;
  isWindowed: boolean;
  isNearEnd: boolean;
  isTarget: boolean;
  lastKey: string | null;
  turnStartKey: string | null;
}

/** Some rows, or an empty box of their height while they are far from what is in view. */
const Group = memo(function Group(properties: GroupProperties) {
  const { rows, isWindowed, isNearEnd, isTarget, lastKey, turnStartKey, ...shared } = properties;
  const { first, setSize } = properties;
  const box = useRef<HTMLDivElement>(null);
  const [isNear, setIsNear] = useState(isNearEnd || isTarget);
  const [height, setHeight] = useState(() => rows.length * ROW_PX);
  useEffect(() => {
    const element = box.current;
    if (!element || !isWindowed) return;
    const observer = new IntersectionObserver(
      ([entry]) => {
        if (!entry) return;
        if (entry.isIntersecting) startTransition(() => setIsNear(true));
        else if (!isInUse(element)) {
          setHeight(entry.boundingClientRect.height);
          setIsNear(false);
        }
      },
      { root: element.closest('.timeline'), rootMargin: MARGIN },
    );
    observer.observe(element);
    return () => observer.disconnect();
  }, [isWindowed]);
  if (isWindowed && !isNear && !isTarget) {
    return <div ref={box} className="rows" style={{ blockSize: height }} />;
  }
  let next = first;
  return (
    <div ref={box} className={isWindowed ? 'rows' : 'rows whole'}>
      {rows.map((row) => {
        if (row.kind === 'day') return <Day key={row.key} date={row.date} />;
        const { key, message, branches } = row;
        const position = setSize && next++;
        const own = { branches, isLast: key === lastKey, isBusy: shared.isBusy, position, setSize };
        return message.role === 'user' ? (
          <OwnRow
            key={key}
            message={message}
            isTurnStart={key === turnStartKey}
            controller={shared.controller}
            {...own}
          />
        ) : (
          <ReplyRow
            key={key}
            id={key}
            message={message}
            open={null}
            name={shared.name}
            failure={shared.failures.get(key) ?? null}
            controller={shared.controller}
            {...own}
          />
        );
      })}
    </div>
  );
});

function isInUse(group: Element): boolean {
  if (group.contains(document.activeElement) || group.querySelector(IN_USE)) return true;
  const selection = getSelection();
  return selection?.type === 'Range' && selection.containsNode(group, true);
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

/** On paper, all rows are wanted. */
function usePrinting(): boolean {
  const [isPrinting, setIsPrinting] = useState(false);
  useEffect(() => {
    const begin = () => flushSync(() => setIsPrinting(true));
    const end = () => setIsPrinting(false);
    addEventListener('beforeprint', begin);
    addEventListener('afterprint', end);
    return () => {
      removeEventListener('beforeprint', begin);
      removeEventListener('afterprint', end);
    };
  }, []);
  return isPrinting;
}
