/** The choices of the settings dialog, which this browser keeps. */
import { useSyncExternalStore } from 'react';

export interface Preferences {
  readonly enterSends: boolean;
  readonly follow: boolean;
  readonly assistantId: string | null;
}

export type Theme = 'system' | 'light' | 'dark';

const KEY = 'parley.preferences';
const THEME_KEY = 'parley.theme';
const DEFAULTS: Preferences = { enterSends: true, follow: true, assistantId: null };

let current = read();
const listeners = new Set<() => void>();

export function usePreferences(): Preferences {
  return useSyncExternalStore(subscribe, () => current);
}

export function setPreferences(changes: Partial<Preferences>): void {
  current = { ...current, ...changes };
  write(KEY, JSON.stringify(current));
  for (const listener of listeners) listener();
}

export function currentTheme(): Theme {
  const theme = document.documentElement.dataset.theme;
  return theme === 'light' || theme === 'dark' ? theme : 'system';
}

export function setTheme(theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  write(THEME_KEY, theme);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function read(): Preferences {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Preferences>;
    return { ...DEFAULTS, ...stored };
  } catch {
    return DEFAULTS;
  }
}

function write(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Storage is blocked: the choice lasts as long as the page.
  }
}
