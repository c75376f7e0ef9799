/** Shortcuts of the page; none is a single letter, which speech input would trigger. */
import { useEffect } from 'react';

interface Actions {
  onNew: () => void;
  onList: () => void;
  onSearch: () => void;
  /** Search in the conversation, whose messages are not all in the document. */
  onFind: () => void;
  onHelp: () => void;
}

export function useShortcuts(actions: Actions): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      const run = actionOf(event, actions);
      if (!run) return;
      event.preventDefault();
      run();
    };
    addEventListener('keydown', onKeyDown);
    return () => removeEventListener('keydown', onKeyDown);
  });
}

function actionOf(event: KeyboardEvent, actions: Actions): (() => void) | null {
  if (event.key === 'F6') return () => focusNextRegion(event.shiftKey ? -1 : 1);
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return null;
  const key = event.key.toLowerCase();
  if (event.shiftKey) return key === 'o' ? actions.onNew : key === '?' ? actions.onHelp : null;
  switch (key) {
    case 'b':
      return actions.onList;
    case 'k':
      return actions.onSearch;
    case '/':
      return actions.onHelp;
    case 'f': {
      // The second time, with the dialog open, it is the browser's.
      const isWindowed = document.querySelector('[data-windowed]') !== null;
      return isWindowed && !document.querySelector('dialog[open]') ? actions.onFind : null;
    }
  }
  return null;
}

/** List, timeline, message field. */
function focusNextRegion(step: number): void {
  const regions = [...document.querySelectorAll<HTMLElement>('[data-region]')];
  const at = regions.findIndex((each) => each.contains(document.activeElement));
  regions[(at + step + regions.length) % regions.length]?.focus();
}
