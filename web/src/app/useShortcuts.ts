/** Shortcuts of the page; none is a single letter, which speech input would trigger. */
import { useEffect } from 'react';

interface Actions {
  onNew: () => void;
  onList: () => void;
}

export function useShortcuts({ onNew, onList }: Actions): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      const isCommand = event.ctrlKey || event.metaKey;
      const key = event.key.toLowerCase();
      if (isCommand && event.shiftKey && key === 'o') onNew();
      else if (isCommand && !event.shiftKey && key === 'b') onList();
      else if (event.key === 'F6') focusNextRegion(event.shiftKey ? -1 : 1);
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', onKeyDown);
    return () => removeEventListener('keydown', onKeyDown);
  });
}

/** List, timeline, message field. */
function focusNextRegion(step: number): void {
  const regions = [...document.querySelectorAll<HTMLElement>('[data-region]')];
  const at = regions.findIndex((each) => each.contains(document.activeElement));
  regions[(at + step + regions.length) % regions.length]?.focus();
}
