import { type RefObject, useEffect } from 'react';

// What comes next is asked for before its place is in view.
const MARGIN = '1000px 0px';

/** Calls `onVisible` whenever the element is nearly scrolled into view, unless `isPaused`. */
export function useVisible(
  element: RefObject<Element | null>,
  onVisible: () => void,
  isPaused: boolean,
): void {
  useEffect(() => {
    if (!element.current || isPaused) return;
    const observer = new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting)) onVisible();
      },
      { root: element.current.closest('[data-region]'), rootMargin: MARGIN },
    );
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [element, onVisible, isPaused]);
}
