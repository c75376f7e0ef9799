/** What the sessions' state machines cause outside of themselves. */
import type { QueryClient } from '@tanstack/react-query';
import { type Dictionary, en } from '../i18n/en';
import { loadLanguage } from '../i18n/language';
import { dropSession, invalidateSessions } from '../sessions/queries';
import { wordCount } from '../timeline/RunningParts';
import { clearCaches } from '../turns/contentCaches';
import type { Surroundings } from '../turns/sessionController';
import { announce, silence } from '../ui/liveRegion';
import { sessionPath } from './route';

const READ_CHARACTERS = 200;
// A title is written by the model after the first reply.
const TITLE_MS = 3_000;

let speaker = '';

/** The name of the assistant that is shown. */
export function setSpeaker(name: string): void {
  speaker = name;
}

export function surroundings(client: QueryClient): Surroundings {
  return {
    announce(what, text) {
      void dictionary().then((t) => {
        if (what === 'started') announce(t.announceStarted(speaker));
        else if (what === 'cancelled') announce(t.announceStopped);
        else if (what === 'failed') announce(t.announceFailed, 'assertive');
        else announce(t.announceEnded(speaker, beginning(text), wordCount(text)));
      });
    },
    listChanged() {
      invalidateSessions(client);
      setTimeout(() => invalidateSessions(client), TITLE_MS);
    },
    gone(sessionId) {
      // React keeps a field that had the focus, and with it the conversation around it.
      const { activeElement } = document;
      const isShown = sessionId !== null && location.pathname === sessionPath(sessionId);
      if (isShown && activeElement instanceof HTMLElement) {
        activeElement.blur();
      }
      silence();
      dropSession(client, sessionId);
      clearCaches();
      client.removeQueries({ queryKey: ['search'] });
      invalidateSessions(client);
    },
  };
}

async function dictionary(): Promise<Dictionary> {
  const { lang } = document.documentElement;
  return lang === 'zh-Hans' ? loadLanguage(lang) : en;
}

/** Plain text: marks of Markdown are not read. */
function beginning(text: string): string {
  const plain = text
    .replace(/[*_`#>~|]+/g, '')
    .replace(/\s+/g, ' ')
    .trim();
  const shown = [...plain].slice(0, READ_CHARACTERS).join('');
  return shown.length < plain.length ? `${shown}…` : shown;
}
