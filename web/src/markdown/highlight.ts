/** Asks a worker to highlight code, once the code is complete. */
import { registerCache } from '../turns/contentCaches';
import url from './highlight.worker.ts?worker&url';

export interface HighlightRequest {
  readonly id: number;
  readonly code: string;
  readonly language: string;
}

/** Lines of tokens, each with its text and its colour; null: not highlighted. */
export type Highlighted = ReadonlyArray<ReadonlyArray<readonly [text: string, color: string]>>;

export interface HighlightAnswer {
  readonly id: number;
  readonly lines: Highlighted | null;
}

// Longer code is shown plain: it would keep the worker busy for seconds.
const MAX_LENGTH = 50_000;
// A worker that does not answer is replaced.
const TIMEOUT_MS = 5_000;
const MAX_REMEMBERED = 200;

let worker: Worker | null = null;
let nextId = 0;
const waiting = new Map<number, (lines: Highlighted | null) => void>();
const remembered = new Map<string, Promise<Highlighted | null>>();

registerCache(() => remembered.clear());

export function highlight(code: string, language: string): Promise<Highlighted | null> {
  if (code.length > MAX_LENGTH || !language || typeof Worker !== 'function') {
    return Promise.resolve(null);
  }
  const key = `${language}\n${code}`;
  const known = remembered.get(key);
  if (known) return known;
  if (remembered.size >= MAX_REMEMBERED) remembered.clear();
  const lines = ask(code, language);
  remembered.set(key, lines);
  return lines;
}

function ask(code: string, language: string): Promise<Highlighted | null> {
  const id = nextId++;
  worker ??= startWorker();
  const asked = worker;
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      asked.terminate();
      if (worker === asked) worker = null;
      waiting.delete(id);
      resolve(null);
    }, TIMEOUT_MS);
    waiting.set(id, (lines) => {
      clearTimeout(timer);
      resolve(lines);
    });
    asked.postMessage({ id, code, language } satisfies HighlightRequest);
  });
}

function startWorker(): Worker {
  const started = new Worker(trusted(url), { type: 'module' });
  started.addEventListener('message', ({ data }: MessageEvent<HighlightAnswer>) => {
    waiting.get(data.id)?.(data.lines);
    waiting.delete(data.id);
  });
  return started;
}

/** The address of a worker is a script: Trusted Types allow this policy, and this address only. */
function trusted(own: string): string {
  const { trustedTypes } = window as unknown as {
    trustedTypes?: {
      createPolicy(
        name: string,
        rules: { createScriptURL(url: string): string },
      ): { createScriptURL(url: string): string };
    };
  };
  if (!trustedTypes) return own;
  policy ??= trustedTypes.createPolicy('parley', {
    createScriptURL(asked) {
      if (asked !== own) throw new TypeError('Not a script of the page.');
      return asked;
    },
  });
  return policy.createScriptURL(own);
}

let policy: { createScriptURL(url: string): string } | null = null;
