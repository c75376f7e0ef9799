/** What every part of the page may use: the registry of sessions. */
import { createContext, useContext, useSyncExternalStore } from 'react';
import type { SessionController } from '../turns/sessionController';
import type { SessionRegistry } from '../turns/sessionRegistry';
import type { SessionState } from '../turns/sessionState';

export const RegistryContext = createContext<SessionRegistry | null>(null);

export function useRegistry(): SessionRegistry {
  const registry = useContext(RegistryContext);
  if (!registry) throw new Error('The page has no registry of sessions.');
  return registry;
}

export function useSessionState(controller: SessionController): SessionState {
  return useSyncExternalStore(controller.subscribe, controller.snapshot);
}
