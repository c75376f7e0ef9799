/** The typed client of the public API, generated from its OpenAPI document. */
import createClient, { type Middleware } from 'openapi-fetch';
import { currentAccount, rejectToken } from '../account/token';
import { compareClock } from './clock';
import { network, type Problem, problemOf } from './problem';
import type { paths } from './schema';

const authentication: Middleware = {
  onRequest({ request }) {
    const { token } = currentAccount();
    if (token) request.headers.set('authorization', `Bearer ${token}`);
    return request;
  },
  onResponse({ response }) {
    compareClock(response);
  },
};

export const api = createClient<paths>({ baseUrl: location.origin, cache: 'no-store' });
api.use(authentication);

/** The body of a response. Throws Problem. */
export async function data<Body>(
  call: Promise<{ data?: Body; response: Response }>,
): Promise<Body> {
  const token = currentAccount().token;
  const result = await call.catch((error: unknown) => {
    throw network(error);
  });
  const { response } = result;
  if (response.ok && result.data !== undefined) return result.data;
  throw await failed(response, token, result as { error?: unknown });
}

/** A request whose answer is a stream or has no body of interest. Throws Problem. */
export async function send(path: string, init: RequestInit): Promise<Response> {
  const { token } = currentAccount();
  const headers = new Headers(init.headers);
  if (token) headers.set('authorization', `Bearer ${token}`);
  const response = await fetch(path, { ...init, headers, cache: 'no-store' }).catch(
    (error: unknown) => {
      throw network(error);
    },
  );
  if (response.ok || response.status === 304) return response;
  throw await failed(response, token, {});
}

async function failed(
  response: Response,
  token: string | null,
  { error }: { error?: unknown },
): Promise<Problem> {
  if (response.status === 401 && token) rejectToken(token);
  // openapi-fetch has read the body already.
  const body = error === undefined ? response : new Response(JSON.stringify(error), response);
  return problemOf(body);
}
