/** Renders Markdown without a string of HTML anywhere: raw HTML is text, images are links. */
import type { Definition, PhrasingContent, Table } from 'mdast';
import { createElement, memo, type ReactNode, useEffect, useMemo, useReducer, useRef } from 'react';
import { useText } from '../i18n/language';
import { CodeBlock } from './CodeBlock';
import { ImageLink, Link } from './LinkText';
import { MathText } from './MathText';
import { PlainText } from './PlainText';
import { type Block, startOf } from './parse';
import { parsedBlocks, rememberBlocks } from './parsedBlocks';
import { isShort, type ShownBlock, StreamingBlocks, wholeBlocks } from './streamingBlocks';

// Deeper nesting is flattened.
const MAX_DEPTH = 32;

type Definitions = ReadonlyMap<string, Definition>;

interface Properties {
  text: string;
  id: string;
  /** The text still grows at its end. */
  isStreaming: boolean;
}

export const Markdown = memo(function Markdown({ text, id, isStreaming }: Properties) {
  const streaming = useRef<StreamingBlocks>(null);
  const [step, showMore] = useReducer((count: number) => count + 1, 0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a step parses some more of the text.
  const blocks = useMemo(() => {
    if (!isStreaming && !streaming.current) {
      const known = parsedBlocks(id, text);
      if (known) return known;
      if (isShort(text)) return rememberBlocks(id, text, wholeBlocks(text));
    }
    streaming.current ??= new StreamingBlocks();
    const shown = streaming.current.update(text, performance.now());
    if (isStreaming || streaming.current.waitMs !== null) return shown;
    // Blocks that were shown while the text grew keep their elements.
    return rememberBlocks(id, text, streaming.current.finish(text));
  }, [id, text, isStreaming, step]);
  const waitMs = streaming.current?.waitMs ?? null;
  // biome-ignore lint/correctness/useExhaustiveDependencies: each step waits for the next one.
  useEffect(() => {
    if (waitMs === null) return;
    const timer = setTimeout(showMore, waitMs);
    return () => clearTimeout(timer);
  }, [waitMs, blocks]);
  return <Blocks blocks={blocks} isStreaming={isStreaming} isWhole={waitMs === null} />;
});

interface BlocksProperties {
  blocks: ShownBlock[];
  isStreaming: boolean;
  /** The blocks are those of all the text so far. */
  isWhole: boolean;
}

function Blocks({ blocks, isStreaming, isWhole }: BlocksProperties) {
  const definitions = definitionsIn(blocks);
  return (
    <div className={isStreaming ? 'markdown streaming' : 'markdown'}>
      {runsOf(blocks).map(({ start, node, parts, isLast }) =>
        node ? (
          <TopBlock
            key={start}
            node={node}
            definitions={definitions}
            isOpen={isStreaming && isLast}
          />
        ) : (
          <PlainText
            key={start}
            parts={parts}
            isOpen={isStreaming || !isWhole}
            render={(formatted) =>
              formatted.map((each) => (
                <TopBlock
                  key={startOf(each)}
                  node={each}
                  definitions={definitions}
                  isOpen={false}
                />
              ))
            }
          />
        ),
      )}
    </div>
  );
}

interface Run {
  readonly start: number;
  /** null: plain text, in parts. */
  readonly node: Block | null;
  readonly parts: ShownBlock[];
  readonly isLast: boolean;
}

function runsOf(blocks: readonly ShownBlock[]): Run[] {
  const runs: Run[] = [];
  for (const [index, block] of blocks.entries()) {
    const { start, node } = block;
    const last = runs.at(-1);
    if (node === null && last?.node === null) last.parts.push(block);
    else runs.push({ start, node, parts: [block], isLast: index === blocks.length - 1 });
  }
  return runs;
}

const NO_DEFINITIONS: Definitions = new Map();

function definitionsIn(blocks: readonly ShownBlock[]): Definitions {
  const found = blocks.flatMap(({ node }) => (node?.type === 'definition' ? [node] : []));
  if (found.length === 0) return NO_DEFINITIONS;
  return new Map(found.map((node) => [node.identifier, node]));
}

interface BlockProps {
  node: Block;
  definitions: Definitions;
  /** The last block of a text that still grows. */
  isOpen: boolean;
}

const TopBlock = memo(function TopBlock({ node, definitions, isOpen }: BlockProps) {
  return <>{block(node, definitions, 0, isOpen)}</>;
});

function block(node: Block, definitions: Definitions, depth: number, isOpen = false): ReactNode {
  if (depth > MAX_DEPTH) return null;
  const inline = (nodes: readonly PhrasingContent[]) => phrasing(nodes, definitions, depth + 1);
  const blocks = (nodes: readonly Block[]) =>
    nodes.map((child, index) => (
      <Keyed key={child.position?.start.offset ?? index}>
        {block(child, definitions, depth + 1)}
      </Keyed>
    ));
  switch (node.type) {
    case 'paragraph':
      return <p dir="auto">{inline(node.children)}</p>;
    case 'heading':
      // The page has the first level, a message's role the second.
      return createElement(
        `h${Math.min(node.depth + 2, 6)}`,
        { dir: 'auto', className: `heading-${node.depth}` },
        inline(node.children),
      );
    case 'thematicBreak':
      return <hr />;
    case 'blockquote':
      return <blockquote dir="auto">{blocks(node.children)}</blockquote>;
    case 'list':
      return createElement(
        node.ordered ? 'ol' : 'ul',
        { dir: 'auto', ...(node.ordered && node.start !== 1 ? { start: node.start } : {}) },
        node.children.map((item, index) => (
          <li
            key={item.position?.start.offset ?? index}
            className={typeof item.checked === 'boolean' ? 'task' : undefined}
          >
            {typeof item.checked === 'boolean' && <TaskBox isDone={item.checked} />}
            {item.children.map((child, position) =>
              child.type === 'paragraph' && !node.spread ? (
                <Keyed key={child.position?.start.offset ?? position}>
                  {inline(child.children)}
                </Keyed>
              ) : (
                <Keyed key={child.position?.start.offset ?? position}>
                  {block(child, definitions, depth + 1)}
                </Keyed>
              ),
            )}
          </li>
        )),
      );
    case 'code':
      return <CodeBlock code={node.value} language={node.lang ?? ''} isOpen={isOpen} />;
    case 'table':
      return <TableBlock node={node} definitions={definitions} depth={depth} />;
    case 'html':
      return (
        <p dir="auto" className="raw">
          {node.value}
        </p>
      );
    case 'footnoteDefinition':
      return (
        <div className="footnote" id={undefined}>
          <sup>{node.label ?? node.identifier}</sup>
          <div>{blocks(node.children)}</div>
        </div>
      );
    case 'definition':
    case 'yaml':
      return null;
    default:
      return 'value' in node ? node.value : inline([node as PhrasingContent]);
  }
}

function TaskBox({ isDone }: { isDone: boolean }) {
  const t = useText();
  const label = isDone ? t.taskDone : t.taskOpen;
  return <input type="checkbox" checked={isDone} aria-label={label} disabled readOnly />;
}

function Keyed({ children }: { children: ReactNode }) {
  return <>{children}</>;
}

function TableBlock({
  node,
  definitions,
  depth,
}: { node: Table } & Omit<BlockProps, 'node' | 'isOpen'> & { depth: number }) {
  const [head, ...rows] = node.children;
  const alignments = node.align ?? [];
  const cells = (row: Table['children'][number], cell: 'th' | 'td') =>
    row.children.map((child, index) =>
      createElement(
        cell,
        {
          key: child.position?.start.offset ?? index,
          dir: 'auto',
          className: alignments[index] ? `align-${alignments[index]}` : undefined,
        },
        phrasing(child.children, definitions, depth + 1),
      ),
    );
  return (
    <div className="table-scroll" tabIndex={-1}>
      <table>
        {head && (
          <thead>
            <tr>{cells(head, 'th')}</tr>
          </thead>
        )}
        <tbody>
          {rows.map((row, index) => (
            <tr key={row.position?.start.offset ?? index}>{cells(row, 'td')}</tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function phrasing(
  nodes: readonly PhrasingContent[],
  definitions: Definitions,
  depth: number,
): ReactNode[] {
  return nodes.map((node, index) => (
    <Keyed key={node.position?.start.offset ?? index}>{inlineNode(node, definitions, depth)}</Keyed>
  ));
}

function inlineNode(node: PhrasingContent, definitions: Definitions, depth: number): ReactNode {
  if (depth > MAX_DEPTH) return null;
  const children = (parent: { children: readonly PhrasingContent[] }) =>
    phrasing(parent.children, definitions, depth + 1);
  switch (node.type) {
    case 'text':
      return node.value;
    case 'emphasis':
      return <em>{children(node)}</em>;
    case 'strong':
      return <strong>{children(node)}</strong>;
    case 'delete':
      return <del>{children(node)}</del>;
    case 'inlineCode':
      return <code dir="ltr">{node.value}</code>;
    case 'break':
      return <br />;
    case 'link':
      return <Link url={node.url}>{children(node)}</Link>;
    case 'image':
      return <ImageLink url={node.url} alt={node.alt ?? ''} />;
    case 'linkReference': {
      const definition = definitions.get(node.identifier);
      return definition ? <Link url={definition.url}>{children(node)}</Link> : children(node);
    }
    case 'imageReference': {
      const definition = definitions.get(node.identifier);
      return definition ? <ImageLink url={definition.url} alt={node.alt ?? ''} /> : node.alt;
    }
    case 'footnoteReference':
      return <sup className="footnote-reference">{node.label ?? node.identifier}</sup>;
    case 'html':
      return node.value;
    case 'inlineMath':
      return <MathText source={node.value} isDisplay={node.isDisplay} />;
    default:
      return null;
  }
}
