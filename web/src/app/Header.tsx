import type { ReactNode } from 'react';
import { useText } from '../i18n/language';
import { Icon } from '../ui/icons';

interface Properties {
  name: string;
  title: string;
  onMenu: () => void;
  onNew: () => void;
  children?: ReactNode;
}

/** The bar above a conversation. */
export function Header({ name, title, onMenu, onNew, children }: Properties) {
  const t = useText();
  return (
    <header className="bar">
      <button
        type="button"
        className="icon-button only-narrow"
        aria-label={t.openList}
        onClick={onMenu}
        data-menu
      >
        <Icon name="menu" />
      </button>
      <div className="heading" dir="auto">
        <span className="assistant-name">{name}</span>
        {title && <h1 title={title}>{title}</h1>}
      </div>
      <button
        type="button"
        className="icon-button only-narrow"
        aria-label={t.newSession}
        onClick={onNew}
      >
        <Icon name="plus" />
      </button>
      {children}
    </header>
  );
}
