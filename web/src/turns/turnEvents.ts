/** The events of a turn's stream, decoded. Unknown types and fields are tolerated. */
import type { components } from '../api/schema';

export type Message = components['schemas']['Message'];
export type Session = components['schemas']['SessionShape'];
export type Turn = components['schemas']['Turn'];
export type TurnStarted = components['schemas']['TurnStarted'];
export type ReplyDelta = components['schemas']['ReplyDelta'];
export type ReplyEnded = components['schemas']['ReplyEnded'];
export type ApiError = components['schemas']['ErrorShape'];
/** Of a later version of the API; moves the place only if it carries no text. */
export type UnknownEvent = { type: 'unknown'; sequence_number: number | null };
export type TurnEvent = TurnStarted | ReplyDelta | ReplyEnded | UnknownEvent;

export function decodeTurnEvent(data: string): TurnEvent {
  const event = parse(data);
  switch (event.type) {
    case 'turn.started':
    case 'reply.completed':
    case 'reply.failed':
    case 'reply.cancelled':
      return event as unknown as TurnStarted | ReplyEnded;
    case 'reply.delta':
      if (typeof event.delta === 'string') return event as unknown as ReplyDelta;
  }
  const place = 'delta' in event ? null : event.sequence_number;
  return { type: 'unknown', sequence_number: typeof place === 'number' ? place : null };
}

export function isEnd(event: TurnEvent): event is ReplyEnded {
  return ['reply.completed', 'reply.failed', 'reply.cancelled'].includes(event.type);
}

function parse(data: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
