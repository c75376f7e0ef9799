/** The blocks of complete messages, which are parsed once, however often they are mounted. */
import { registerCache } from '../turns/contentCaches';
import type { Block } from './parse';
import type { ShownBlock } from './streamingBlocks';

const MAX_MESSAGES = 500;
const MAX_FORMATTED = 20;
const parsed = new Map<string, { text: string; blocks: ShownBlock[] }>();

export function parsedBlocks(id: string, text: string): ShownBlock[] | null {
  const known = parsed.get(id);
  return known?.text === text ? known.blocks : null;
}

export function rememberBlocks(id: string, text: string, blocks: ShownBlock[]): ShownBlock[] {
  if (parsed.size >= MAX_MESSAGES) {
    const oldest = parsed.keys().next().value;
    if (oldest !== undefined) parsed.delete(oldest);
  }
  parsed.set(id, { text, blocks });
  return blocks;
}

const formatted = new Map<string, readonly Block[]>();

/** Plain text that a reader has asked to be formatted. */
export function formattedBlocks(text: string): readonly Block[] | null {
  return formatted.get(text) ?? null;
}

export function rememberFormatted(text: string, blocks: readonly Block[]): void {
  if (formatted.size >= MAX_FORMATTED) formatted.clear();
  formatted.set(text, blocks);
}

registerCache(() => {
  parsed.clear();
  formatted.clear();
});
