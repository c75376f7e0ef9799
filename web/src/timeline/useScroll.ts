/**
 * Scrolling of the timeline: it follows its end, or what the reader sees keeps its place, however
 * the layout above and below changes. The browser's own anchoring is off: Safari has none.
 */
import { type RefObject, useCallback, useEffect, useRef, useState } from 'react';

// At the end, within the rounding of scroll positions.
const END_PX = 8;
// Less than two lines away needs no button.
const AWAY_PX = 48;

interface Scrolling {
  /** The reader has scrolled away from the end. */
  readonly isAway: boolean;
  readonly toEnd: () => void;
  /** Puts a row into the middle of the view, and stops following the end. */
  readonly toRow: (row: Element) => void;
}

/**
 * `stays`: scrolls no further than to the element with `data-turn-start`, so that a long reply
 * does not scroll away from its beginning.
 */
export function useScroll(
  scroller: RefObject<HTMLElement | null>,
  content: RefObject<HTMLElement | null>,
  stays: boolean,
): Scrolling {
  const follows = useRef(true);
  const anchor = useRef<{ row: Element; top: number } | null>(null);
  const [isAway, setIsAway] = useState(false);

  useEffect(() => {
    const element = scroller.current;
    const inner = content.current;
    if (!element || !inner) return;
    let last = { top: element.scrollTop, height: element.scrollHeight };
    const distance = () => element.scrollHeight - element.scrollTop - element.clientHeight;
    const note = (): void => {
      last = { top: element.scrollTop, height: element.scrollHeight };
    };
    const follow = (): void => {
      const end = element.scrollHeight - element.clientHeight;
      const start = stays ? inner.querySelector<HTMLElement>('[data-turn-start]') : null;
      const limit = start ? start.offsetTop - 8 : end;
      const top = Math.min(end, Math.max(limit, stays ? element.scrollTop : 0));
      if (Math.abs(element.scrollTop - top) > 0.5) element.scrollTop = top;
      if (stays) setIsAway(distance() > AWAY_PX);
    };
    // After each layout, before it is painted.
    const settle = (): void => {
      if (follows.current) follow();
      else if (anchor.current?.row.isConnected) {
        const moved = topIn(element, anchor.current.row) - anchor.current.top;
        if (Math.abs(moved) > 0.5) element.scrollTop += moved;
      }
      note();
    };
    const onScroll = (): void => {
      const { scrollTop: top, scrollHeight: height } = element;
      // Content that shrinks moves the end up; further up is the reader's wish.
      const shrunk = Math.max(0, last.height - height);
      if (distance() <= END_PX) follows.current = true;
      else if (top < last.top - shrunk - 1) follows.current = false;
      note();
      anchor.current = follows.current ? null : firstVisible(element, inner);
      setIsAway(distance() > AWAY_PX && (stays || !follows.current));
    };
    const observer = new ResizeObserver(settle);
    observer.observe(inner);
    observer.observe(element);
    element.addEventListener('scroll', onScroll, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener('scroll', onScroll);
    };
  }, [scroller, content, stays]);

  const toEnd = useCallback(() => {
    follows.current = true;
    if (scroller.current) scroller.current.scrollTop = scroller.current.scrollHeight;
    setIsAway(false);
  }, [scroller]);
  const toRow = useCallback(
    (row: Element) => {
      follows.current = false;
      row.scrollIntoView({ block: 'center' });
      if (scroller.current) anchor.current = { row, top: topIn(scroller.current, row) };
    },
    [scroller],
  );
  return { isAway, toEnd, toRow };
}

function topIn(scroller: Element, row: Element): number {
  return row.getBoundingClientRect().top - scroller.getBoundingClientRect().top;
}

/** The first row that is in view. The rows are in order, so that few of them are measured. */
function firstVisible(scroller: Element, content: Element): { row: Element; top: number } | null {
  const rows = content.querySelectorAll('[data-row]');
  const edge = scroller.getBoundingClientRect().top;
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((rows[middle]?.getBoundingClientRect().bottom ?? 0) > edge) high = middle;
    else low = middle + 1;
  }
  const row = rows[low];
  return row ? { row, top: row.getBoundingClientRect().top - edge } : null;
}
