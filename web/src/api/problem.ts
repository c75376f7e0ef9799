/** A request that failed: an error of the API, or no answer at all. */

export class Problem extends Error {
  constructor(
    /** The HTTP status; 0 if no answer came. */
    readonly status: number,
    /** The error code of the API, or `network`. */
    readonly code: string,
    message: string,
    readonly retryAfterMs: number | null = null,
    readonly requestId: string | null = null,
  ) {
    super(message);
    this.name = 'Problem';
  }
}

// A code that is not listed may have been committed; the listed ones store nothing.
const REFUSED = new Set([
  'inference_busy',
  'inference_unavailable',
  'gateway_busy',
  'too_many_connections',
  'too_many_turns',
  'too_many_streams',
]);

export function network(cause: unknown): Problem {
  return new Problem(0, 'network', cause instanceof Error ? cause.message : 'No answer.');
}

/** Whether the server may have carried out the request: then only the same key may be retried. */
export function mayBeCommitted(problem: Problem): boolean {
  if (problem.status === 408) return true;
  return problem.status === 0 || (problem.status >= 500 && !REFUSED.has(problem.code));
}

export async function problemOf(response: Response): Promise<Problem> {
  const seconds = Number(response.headers.get('retry-after'));
  const retryAfterMs = Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : null;
  const requestId = response.headers.get('x-request-id');
  let code = `http_${response.status}`;
  let message = response.statusText;
  try {
    const body = (await response.json()) as { error?: { code?: string; message?: string } };
    code = body.error?.code ?? code;
    message = body.error?.message ?? message;
  } catch {
    // A proxy answered, not the gateway.
  }
  return new Problem(response.status, code, message, retryAfterMs, requestId);
}
