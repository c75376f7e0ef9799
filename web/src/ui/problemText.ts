/** What happened and what to do, by the error code of the API. */
import { Problem } from '../api/problem';
import type { Dictionary } from '../i18n/en';

/** The error code of a request that failed. */
export function codeOf(error: unknown): string {
  return error instanceof Problem ? error.code : 'network';
}

export function problemText(code: string, t: Dictionary): string {
  switch (code) {
    case 'network':
      return t.network;
    case 'inference_busy':
    case 'inference_unavailable':
    case 'gateway_busy':
    case 'too_many_connections':
      return t.busy;
    case 'too_many_turns':
    case 'too_many_streams':
      return t.tooManyTurns;
    case 'message_too_large':
    case 'body_too_large':
      return t.messageTooLarge;
    case 'session_full':
      return t.sessionFull;
    case 'assistant_retired':
      return t.assistantRetired;
    case 'legal_hold':
      return t.legalHold;
    case 'too_many_searches':
    case 'too_many_requests':
    case 'rate_limit_exceeded':
      return t.tooMany;
    case 'interrupted':
      return t.interrupted;
  }
  return code.startsWith('upstream_') ? t.upstream : t.unknownProblem(code);
}
