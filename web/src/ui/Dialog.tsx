import { type ReactNode, useEffect, useId, useRef } from 'react';

interface Properties {
  title: string;
  onClose: () => void;
  isWide?: boolean;
  children: ReactNode;
}

/** A native modal dialog; the browser returns the focus to its opener. */
export function Dialog({ title, onClose, isWide, children }: Properties) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const shown = dialog.current;
    if (shown && !shown.open) {
      shown.showModal();
      shown.querySelector<HTMLElement>('input:checked, input[id], button')?.focus();
    }
    return () => shown?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      className={isWide ? 'wide' : undefined}
      aria-labelledby={id}
      onClose={onClose}
    >
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  );
}
