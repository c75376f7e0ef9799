/** Asks a worker to highlight code, once the code is complete. */
import { registerCache } from '../../turns/contentCaches';
import { AskedWorker } from './askedWorker';

export interface HighlightRequest {
  readonly code: string;
  readonly language: string;
}

/** Lines of tokens, each with its text and its colour. */
export type Highlighted = ReadonlyArray<ReadonlyArray<readonly [text: string, color: string]>>;

// Longer code is shown plain: it would keep the worker busy for seconds.
const MAX_LENGTH = 50_000;
const TIMEOUT_MS = 5_000;
const MAX_REMEMBERED = 200;

const worker = new AskedWorker<HighlightRequest, Highlighted>('highlight', TIMEOUT_MS);
const remembered = new Map<string, Promise<Highlighted | null>>();

registerCache(() => remembered.clear());

/** null: not highlighted. */
export function highlight(code: string, language: string): Promise<Highlighted | null> {
  if (code.length > MAX_LENGTH || !language || typeof Worker !== 'function') {
    return Promise.resolve(null);
  }
  const key = `${language}\n${code}`;
  const known = remembered.get(key);
  if (known) return known;
  if (remembered.size >= MAX_REMEMBERED) remembered.clear();
  const lines = worker.ask({ code, language });
  remembered.set(key, lines);
  return lines;
}
