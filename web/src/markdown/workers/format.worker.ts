/** Parses beside the page's own thread. */
import type { Nodes } from 'mdast';
import { type Block, parseMarkdown } from '../parse';
import type { WorkerAnswer, WorkerRequest } from './askedWorker';

// More would hold the page up when they are shown.
const MAX_NODES = 20_000;

self.addEventListener('message', ({ data }: MessageEvent<WorkerRequest<string>>) => {
  const answer = blocks(data.question);
  self.postMessage({ id: data.id, answer } satisfies WorkerAnswer<Block[]>);
});

function blocks(text: string): Block[] | null {
  try {
    const tree = parseMarkdown(text);
    return count(tree) > MAX_NODES ? null : tree.children;
  } catch {
    return null; // Nested too deeply.
  }
}

function count(node: Nodes): number {
  if (!('children' in node)) return 1;
  return node.children.reduce((sum, child) => sum + count(child), 1);
}
