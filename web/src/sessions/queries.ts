/** Lists from the server: assistants, sessions, and the configuration of the page. */
import {
  type QueryClient,
  type UseQueryResult,
  useInfiniteQuery,
  useQuery,
} from '@tanstack/react-query';
import { api, data } from '../api/client';
import type { components } from '../api/schema';
import type { Session } from '../turns/turnEvents';

export type Assistant = components['schemas']['Assistant'];
type Config = components['schemas']['ClientConfig'];

// A list that lacks acknowledged writes is asked for again.
const BEHIND_MS = 1_500;
export const DEFAULT_MAX_BYTES = 256 * 1024;

export function useConfig(): UseQueryResult<Config> {
  return useQuery({
    queryKey: ['config'],
    queryFn: () => data(api.GET('/v1/client-config')),
    staleTime: 60_000,
    refetchInterval: 10 * 60_000,
  });
}

export function useAssistants(): UseQueryResult<Assistant[]> {
  return useQuery({
    queryKey: ['assistants'],
    queryFn: async () => {
      const page = await data(api.GET('/v1/assistants', { params: { query: { limit: 100 } } }));
      return page.data.filter((each) => !each.retired);
    },
    staleTime: 60_000,
  });
}

export function useSessions(assistantId: string | null, archived: boolean) {
  return useInfiniteQuery({
    queryKey: ['sessions', assistantId, archived],
    enabled: assistantId !== null,
    initialPageParam: null as string | null,
    queryFn: ({ pageParam }) =>
      data(
        api.GET('/v1/sessions', {
          params: {
            query: {
              limit: 30,
              archived: archived ? 'true' : 'false',
              allow_behind: 'true',
              ...(assistantId ? { assistant_id: assistantId } : {}),
              ...(pageParam ? { after: pageParam } : {}),
            },
          },
        }),
      ),
    getNextPageParam: (page) => (page.has_more ? page.last_id : null),
    refetchInterval: ({ state }) =>
      state.data?.pages.some((page) => page.behind) ? BEHIND_MS : false,
  });
}

export function invalidateSessions(client: QueryClient): void {
  void client.invalidateQueries({ queryKey: ['sessions'] });
}

/** Takes a session, or all of them, out of the lists at once, before they are asked for again. */
export function dropSession(client: QueryClient, id: string | null): void {
  client.setQueriesData<{ pages: Array<{ data: Session[] }> }>(
    { queryKey: ['sessions'] },
    (lists) =>
      lists && {
        ...lists,
        pages: lists.pages.map((page) => ({
          ...page,
          data: page.data.filter((each) => id !== null && each.id !== id),
        })),
      },
  );
}

export async function changeSession(
  id: string,
  changes: { title?: string | null; archived?: boolean },
): Promise<Session> {
  return data(
    api.PATCH('/v1/sessions/{session_id}', {
      params: { path: { session_id: id } },
      body: changes,
    }),
  );
}

export async function deleteSession(id: string) {
  return data(api.DELETE('/v1/sessions/{session_id}', { params: { path: { session_id: id } } }));
}

export async function restoreSession(id: string): Promise<Session> {
  return data(
    api.POST('/v1/sessions/{session_id}/restore', {
      params: {
        path: { session_id: id },
        header: { 'Idempotency-Key': crypto.randomUUID() },
      },
    }),
  );
}

export async function switchAssistant(assistantId: string) {
  return data(
    api.POST('/v1/switch-assistant', {
      params: { header: { 'Idempotency-Key': crypto.randomUUID() } },
      body: { assistant_id: assistantId },
    }),
  );
}

/** A new session with the messages up to this one. */
export async function forkSession(id: string, messageId: string | null): Promise<Session> {
  return data(
    api.POST('/v1/sessions/{session_id}/fork', {
      params: {
        path: { session_id: id },
        header: { 'Idempotency-Key': crypto.randomUUID() },
      },
      body: { message_id: messageId },
    }),
  );
}

/** The number of sessions that remain, under a legal hold. */
export async function deleteAllSessions(): Promise<number> {
  for (;;) {
    const { held, has_more } = await data(api.DELETE('/v1/sessions'));
    if (!has_more) return held;
  }
}
