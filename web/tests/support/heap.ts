/** What the memory of a page holds: the strings with a text, each with what keeps it alive. */
import type { CDPSession } from 'playwright-core';

interface Snapshot {
  readonly snapshot: {
    readonly meta: {
      readonly node_fields: readonly string[];
      readonly node_types: ReadonlyArray<readonly string[] | string>;
      readonly edge_fields: readonly string[];
      readonly edge_types: ReadonlyArray<readonly string[] | string>;
    };
  };
  readonly nodes: readonly number[];
  readonly edges: readonly number[];
  readonly strings: readonly string[];
}

/**
 * The paths from a root to the strings that contain the text, after a garbage collection. What
 * only the engine's own feedback on running code refers to is out of reach, and left out.
 */
export async function keepersOf(session: CDPSession, text: string): Promise<string[]> {
  const chunks: string[] = [];
  const collect = ({ chunk }: { chunk: string }) => chunks.push(chunk);
  session.on('HeapProfiler.addHeapSnapshotChunk', collect);
  await session.send('HeapProfiler.collectGarbage');
  await session.send('HeapProfiler.takeHeapSnapshot');
  session.off('HeapProfiler.addHeapSnapshotChunk', collect);
  const json = chunks.join('');
  return json.includes(text) ? pathsTo(JSON.parse(json) as Snapshot, text) : [];
}

function pathsTo({ snapshot, nodes, edges, strings }: Snapshot, text: string): string[] {
  const { node_fields, edge_fields, edge_types } = snapshot.meta;
  const width = node_fields.length;
  const edgeWidth = edge_fields.length;
  const nameAt = node_fields.indexOf('name');
  const countAt = node_fields.indexOf('edge_count');
  const kinds = edge_types[0] ?? [];
  const from = new Map<number, { node: number; edge: string }>();
  const firstEdge = new Map<number, number>();
  for (let node = 0, edge = 0; node < nodes.length; node += width) {
    firstEdge.set(node, edge);
    edge += (nodes[node + countAt] ?? 0) * edgeWidth;
  }
  const pending = [0];
  for (let at = 0; at < pending.length; at++) {
    const node = pending[at] ?? 0;
    const first = firstEdge.get(node) ?? 0;
    const last = first + (nodes[node + countAt] ?? 0) * edgeWidth;
    for (let edge = first; edge < last; edge += edgeWidth) {
      const [kind = 0, name = 0, to = 0] = edges.slice(edge, edge + 3);
      if (kinds[kind] === 'weak' || from.has(to) || to === 0) continue;
      if (strings[nodes[to + nameAt] ?? 0] === 'system / FeedbackVector') continue;
      const isNumber = kinds[kind] === 'element' || kinds[kind] === 'hidden';
      from.set(to, { node, edge: isNumber ? `[${name}]` : (strings[name] ?? '') });
      pending.push(to);
    }
  }
  const found: string[] = [];
  for (let node = 0; node < nodes.length; node += width) {
    if (!strings[nodes[node + nameAt] ?? 0]?.includes(text) || !from.has(node)) continue;
    const path: string[] = [];
    for (let at = node, step = from.get(at); step; at = step.node, step = from.get(at)) {
      path.push(`${(strings[nodes[step.node + nameAt] ?? 0] ?? '').slice(0, 40)}.${step.edge}`);
    }
    found.push(path.reverse().join(' → '));
  }
  return found;
}
