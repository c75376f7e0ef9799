/** The requests of a session's state machine. All throw Problem. */
import { api, data, send } from '../api/client';
import type { HistoryPage, Sending } from './sessionState';
import type { Session, Turn } from './turnEvents';

// The first page is small, so that it is soon there.
const PAGE_SIZE = 50;
const OLDER_PAGE_SIZE = 100;

export async function startSession(sending: Sending): Promise<Session> {
  const { assistantId, temporary } = sending.start ?? { assistantId: '', temporary: false };
  return data(
    api.POST('/v1/sessions', {
      params: { header: { 'Idempotency-Key': `${sending.key}.session` } },
      body: { id: sending.sessionId, assistant_id: assistantId, temporary },
    }),
  );
}

export function postSending(sending: Sending, signal: AbortSignal): Promise<Response> {
  const { sessionId, content, parentId = null, regenerates } = sending;
  const isRegenerate = regenerates !== undefined;
  const path = `/v1/sessions/${sessionId}/${isRegenerate ? 'regenerate' : 'messages'}`;
  const body = isRegenerate
    ? { message_id: regenerates, stream: true }
    : { content, parent_message_id: parentId, stream: true };
  return send(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': sending.key },
    body: JSON.stringify(body),
    signal,
  });
}

export function resumeTurn(turnId: string, place: number, signal: AbortSignal): Promise<Response> {
  return send(`/v1/turns/${turnId}/stream?starting_after=${place}`, { signal });
}

export async function readTurn(turnId: string): Promise<Turn> {
  return data(api.GET('/v1/turns/{turn_id}', { params: { path: { turn_id: turnId } } }));
}

export async function cancelTurn(turnId: string): Promise<Turn> {
  return data(
    api.POST('/v1/turns/{turn_id}/cancel', {
      params: { path: { turn_id: turnId }, header: { 'Idempotency-Key': `cancel-${turnId}` } },
    }),
  );
}

export async function readSession(id: string): Promise<Session> {
  return data(api.GET('/v1/sessions/{session_id}', { params: { path: { session_id: id } } }));
}

/** Messages of all branches, so that siblings are known; `before` is the oldest loaded one. */
export async function readHistory(
  id: string,
  minVersion: number,
  before: string | null,
): Promise<HistoryPage> {
  const page = await data(
    api.GET('/v1/history/{session_id}', {
      params: {
        path: { session_id: id },
        query: {
          branches: 'all',
          limit: before ? OLDER_PAGE_SIZE : PAGE_SIZE,
          ...(before ? { after: before } : minVersion > 0 ? { min_version: minVersion } : {}),
        },
      },
    }),
  );
  return { messages: page.data, version: page.version ?? 0, hasMore: page.has_more ?? false };
}

/** The session's version if it changed since the ETag, else null. */
export async function readVersion(
  id: string,
  etag: string,
): Promise<{ version: number; etag: string } | null> {
  const headers: HeadersInit = etag ? { 'if-none-match': etag } : {};
  const response = await send(`/v1/history/${id}?limit=1`, { headers });
  if (response.status === 304) return null;
  const page = (await response.json()) as { version?: number };
  return { version: page.version ?? 0, etag: response.headers.get('etag') ?? '' };
}
