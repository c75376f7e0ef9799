import { type RefObject, useEffect } from 'react';

/** Calls `onVisible` whenever the element is scrolled into view, unless `isPaused`. */
export function useVisible(
  element: RefObject<Element | null>,
  onVisible: () => void,
  isPaused: boolean,
): void {
  useEffect(() => {
    if (!element.current || isPaused) return;
    const observer = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) onVisible();
    });
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [element, onVisible, isPaused]);
}
