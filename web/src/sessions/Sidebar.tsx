import { useState } from 'react';
import { goTo } from '../app/route';
import { useText } from '../i18n/language';
import { useCacheGeneration } from '../turns/contentCaches';
import { Icon } from '../ui/icons';
import { AssistantSwitcher } from './AssistantSwitcher';
import type { Assistant } from './queries';
import { SessionList } from './SessionList';

interface Properties {
  user: string;
  assistants: readonly Assistant[];
  assistantId: string | null;
  shownId: string | null;
  isHidden: boolean;
  onAssistant: (assistant: Assistant) => void;
  onNew: () => void;
  onClose: () => void;
}

export function Sidebar(properties: Properties) {
  const { user, assistants, assistantId, shownId, onNew, onClose } = properties;
  const t = useText();
  const generation = useCacheGeneration();
  const [archived, setArchived] = useState(false);
  const openDialog = (path: string): void => {
    goTo(path);
    onClose();
  };
  return (
    <nav className="sidebar" aria-label={t.sessions} inert={properties.isHidden}>
      <header>
        <span className="brand">
          <img src="/favicon.svg" alt="" width="24" height="24" />
          Parley
        </span>
        <button
          type="button"
          className="icon-button only-narrow"
          aria-label={t.closeList}
          onClick={onClose}
        >
          <Icon name="close" />
        </button>
      </header>
      <div className="starters">
        <button type="button" className="button new-session" onClick={onNew}>
          <Icon name="plus" />
          {t.newSession}
        </button>
        <button
          type="button"
          className="button search-button"
          aria-label={t.search}
          title={t.search}
          onClick={() => openDialog('/search')}
        >
          <Icon name="search" />
        </button>
      </div>
      <AssistantSwitcher
        assistants={assistants}
        selectedId={assistantId}
        onSelect={properties.onAssistant}
      />
      <div className="session-list" data-region tabIndex={-1}>
        {archived && <h2 className="list-title">{t.showArchived}</h2>}
        <SessionList
          key={generation}
          assistantId={assistantId}
          archived={archived}
          shownId={shownId}
          onOpened={onClose}
        />
      </div>
      <footer>
        <button
          type="button"
          className="text-button"
          aria-pressed={archived}
          onClick={() => setArchived(!archived)}
        >
          <Icon name="archive" />
          {archived ? t.showActive : t.showArchived}
        </button>
        <button type="button" className="text-button" onClick={() => openDialog('/usage')}>
          <Icon name="chart" />
          {t.usage}
        </button>
        <button
          type="button"
          className="text-button"
          title={t.signedInAs(user)}
          onClick={() => openDialog('/settings')}
        >
          <Icon name="gear" />
          {t.settings}
        </button>
      </footer>
    </nav>
  );
}
