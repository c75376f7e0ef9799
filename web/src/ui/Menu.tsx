/** A menu in a native popover: it closes with Escape or a click elsewhere. */
import { type KeyboardEvent, useId, useRef } from 'react';
import { Icon, type IconName } from './icons';

export interface MenuItem {
  readonly label: string;
  readonly icon: IconName;
  readonly onSelect: () => void;
  readonly isDanger?: boolean;
  readonly reasonDisabled?: string | undefined;
}

export function Menu({ label, items }: { label: string; items: readonly MenuItem[] }) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);

  function place(): void {
    if (!button.current || !list.current) return;
    const anchor = button.current.getBoundingClientRect();
    const { style, offsetWidth, offsetHeight } = list.current;
    const fitsBelow = anchor.bottom + 4 + offsetHeight < innerHeight;
    style.top = `${fitsBelow ? anchor.bottom + 4 : Math.max(8, anchor.top - 4 - offsetHeight)}px`;
    style.left = `${Math.max(8, Math.min(anchor.right - offsetWidth, innerWidth - offsetWidth - 8))}px`;
    list.current.querySelector<HTMLElement>('[role=menuitem]')?.focus();
  }

  function move(event: KeyboardEvent): void {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step === 0 || !list.current) return;
    event.preventDefault();
    const entries = [...list.current.querySelectorAll<HTMLElement>('[role=menuitem]')];
    const at = entries.indexOf(document.activeElement as HTMLElement);
    entries[(at + step + entries.length) % entries.length]?.focus();
  }

  function select(item: MenuItem): void {
    list.current?.hidePopover();
    button.current?.focus();
    item.onSelect();
  }

  return (
    <>
      <button
        ref={button}
        type="button"
        className="icon-button"
        aria-label={label}
        title={label}
        aria-haspopup="menu"
        popoverTarget={id}
      >
        <Icon name="more" />
      </button>
      <div
        ref={list}
        id={id}
        popover="auto"
        role="menu"
        className="menu"
        onToggle={(event) => event.newState === 'open' && place()}
        onKeyDown={move}
      >
        {items.map((item) => (
          <button
            key={item.label}
            type="button"
            role="menuitem"
            className={item.isDanger ? 'danger' : undefined}
            aria-disabled={item.reasonDisabled !== undefined}
            title={item.reasonDisabled}
            onClick={() => item.reasonDisabled === undefined && select(item)}
          >
            <Icon name={item.icon} />
            <span>
              {item.label}
              {item.reasonDisabled && <small>{item.reasonDisabled}</small>}
            </span>
          </button>
        ))}
      </div>
    </>
  );
}
