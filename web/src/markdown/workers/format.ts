/** Asks a worker to parse text that would hold the page up. */
import type { Block } from '../parse';
import { AskedWorker } from './askedWorker';

const TIMEOUT_MS = 2_000;

const worker = new AskedWorker<string, Block[]>('format', TIMEOUT_MS);

/** null: it takes too long, or there would be too much to show. */
export function format(text: string): Promise<Block[] | null> {
  return worker.ask(text);
}
