/**
 * Two regions that screen readers announce, both in the document from the first render on: regions
 * that come and go lose text.
 */
import { useSyncExternalStore } from 'react';

interface Announcements {
  readonly polite: string;
  readonly assertive: string;
}

let current: Announcements = { polite: '', assertive: '' };
const listeners = new Set<() => void>();

export function announce(text: string, how: keyof Announcements = 'polite'): void {
  // Nobody listens to a hidden tab, and old news would be read later.
  if (document.visibilityState === 'hidden') return;
  // The same text twice is a change only with another character in it.
  const again = current[how] === text ? `${text}\u200b` : text;
  current = { ...current, [how]: again };
  for (const listener of listeners) listener();
}

/** Erases what was announced, of a session that is gone. */
export function silence(): void {
  const empty = (): void => {
    current = { polite: '', assertive: '' };
    for (const listener of listeners) listener();
  };
  empty();
  // React keeps what was rendered before in memory, until the next time.
  setTimeout(empty);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function LiveRegions() {
  const { polite, assertive } = useSyncExternalStore(subscribe, () => current);
  return (
    <>
      <div className="visually-hidden" role="status" aria-live="polite">
        {polite}
      </div>
      <div className="visually-hidden" role="alert" aria-live="assertive">
        {assertive}
      </div>
    </>
  );
}
