/** Scrolling of the timeline: follows its end, or stays where the reader is. */
import { type RefObject, useEffect, useLayoutEffect, useRef, useState } from 'react';

// At the end, within the rounding of scroll positions.
const END_PX = 8;
// Less than two lines away needs no button.
const AWAY_PX = 48;

interface Following {
  /** The reader has scrolled away from the end. */
  readonly isAway: boolean;
  readonly toEnd: () => void;
}

/**
 * `stays`: scrolls no further than to the element with `data-turn-start`, so that a long reply
 * does not scroll away from its beginning.
 */
export function useFollow(
  scroller: RefObject<HTMLElement | null>,
  content: RefObject<HTMLElement | null>,
  stays: boolean,
): Following {
  const follows = useRef(true);
  const lastTop = useRef(0);
  const [isAway, setIsAway] = useState(false);

  useEffect(() => {
    const element = scroller.current;
    const inner = content.current;
    if (!element || !inner) return;
    const distance = () => element.scrollHeight - element.scrollTop - element.clientHeight;
    const follow = (): void => {
      if (!follows.current) return;
      const end = element.scrollHeight - element.clientHeight;
      const start = stays ? inner.querySelector<HTMLElement>('[data-turn-start]') : null;
      const limit = start ? start.offsetTop - 8 : end;
      const top = Math.min(end, Math.max(limit, stays ? element.scrollTop : 0));
      if (Math.abs(element.scrollTop - top) > 0.5) element.scrollTop = top;
      lastTop.current = element.scrollTop;
      if (stays) setIsAway(distance() > AWAY_PX);
    };
    const onScroll = (): void => {
      const top = element.scrollTop;
      // The page itself scrolls down only: up is the reader's wish.
      if (distance() <= END_PX) follows.current = true;
      else if (top < lastTop.current - 1) follows.current = false;
      lastTop.current = top;
      setIsAway(distance() > AWAY_PX && (stays || !follows.current));
    };
    const observer = new ResizeObserver(follow);
    observer.observe(inner);
    observer.observe(element);
    element.addEventListener('scroll', onScroll, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener('scroll', onScroll);
    };
  }, [scroller, content, stays]);

  return {
    isAway,
    toEnd() {
      follows.current = true;
      const element = scroller.current;
      if (element) element.scrollTop = element.scrollHeight;
      setIsAway(false);
    },
  };
}

/** Keeps the rows in their place when earlier ones are put before them. */
export function useKeptPlace(scroller: RefObject<HTMLElement | null>, firstKey: string): void {
  const place = useRef<{ key: string; element: Element; top: number } | null>(null);
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const before = place.current;
    if (before && before.key !== firstKey && before.element.isConnected) {
      element.scrollTop += before.element.getBoundingClientRect().top - before.top;
    }
    const remember = (): void => {
      const top = element.getBoundingClientRect().top;
      for (const row of element.querySelectorAll('[data-row]')) {
        const box = row.getBoundingClientRect();
        if (box.bottom > top) {
          place.current = { key: firstKey, element: row, top: box.top };
          return;
        }
      }
    };
    remember();
    element.addEventListener('scroll', remember, { passive: true });
    return () => element.removeEventListener('scroll', remember);
  }, [scroller, firstKey]);
}
