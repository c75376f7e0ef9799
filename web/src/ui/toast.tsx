/** One short notice with an action, which stays as long as it has the focus or the pointer. */
import { useEffect, useState, useSyncExternalStore } from 'react';
import { useText } from '../i18n/language';
import { Icon } from './icons';

export interface Toast {
  readonly text: string;
  readonly action?: { readonly label: string; readonly run: () => void };
}

const SHOWN_MS = 10_000;
let current: Toast | null = null;
const listeners = new Set<() => void>();

export function showToast(toast: Toast | null): void {
  current = toast;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function ToastArea() {
  const t = useText();
  const toast = useSyncExternalStore(subscribe, () => current);
  const [isHeld, setIsHeld] = useState(false);
  useEffect(() => {
    if (!toast || isHeld) return;
    const timer = setTimeout(() => showToast(null), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [toast, isHeld]);
  return (
    <div
      className="toasts"
      role="status"
      onFocus={() => setIsHeld(true)}
      onBlur={() => setIsHeld(false)}
      onPointerEnter={() => setIsHeld(true)}
      onPointerLeave={() => setIsHeld(false)}
    >
      {toast && (
        <div className="toast">
          <span>{toast.text}</span>
          {toast.action && (
            <button
              type="button"
              className="text-button"
              onClick={() => {
                toast.action?.run();
                showToast(null);
              }}
            >
              {toast.action.label}
            </button>
          )}
          <button
            type="button"
            className="icon-button small"
            aria-label={t.dismiss}
            onClick={() => showToast(null)}
          >
            <Icon name="close" />
          </button>
        </div>
      )}
    </div>
  );
}
