import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { Problem } from './api/problem';
import { App } from './app/App';
import { RegistryContext } from './app/context';
import { ErrorBoundary } from './app/ErrorBoundary';
import { surroundings } from './app/surroundings';
import { LanguageProvider, loadLanguage, preferredLanguage } from './i18n/language';
import { SessionRegistry } from './turns/sessionRegistry';
import './styles/index.css';

const client = new QueryClient({
  defaultOptions: {
    queries: {
      // The page waits for a server that starts or restarts, and shows that it does.
      retry: (_, error) => !(error instanceof Problem && isFinal(error)),
      retryDelay: (failures) => Math.min(500 * 2 ** failures, 8000),
    },
  },
});
const registry = new SessionRegistry(surroundings(client));

function isFinal({ status }: Problem): boolean {
  return status >= 400 && status < 500 && status !== 429;
}

const RELOADED_KEY = 'parley.reloaded';
const RELOAD_AGAIN_MS = 30_000;

// A build that was replaced has files that are gone: one reload, which keeps drafts.
addEventListener('vite:preloadError', (event) => {
  try {
    const before = Number(sessionStorage.getItem(RELOADED_KEY));
    if (Date.now() - before < RELOAD_AGAIN_MS) return;
    sessionStorage.setItem(RELOADED_KEY, String(Date.now()));
  } catch {
    return; // Without storage, reloads would have no end.
  }
  event.preventDefault();
  location.reload();
});

async function start(): Promise<void> {
  await loadLanguage(preferredLanguage()).catch(() => undefined);
  const root = document.getElementById('root');
  if (!root) return;
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <RegistryContext value={registry}>
          <LanguageProvider>
            <ErrorBoundary>
              <App />
            </ErrorBoundary>
          </LanguageProvider>
        </RegistryContext>
      </QueryClientProvider>
    </StrictMode>,
  );
}

void start();
