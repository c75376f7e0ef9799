/**
 * The blocks of a text that grows at its end. Only the tail after the last settled block is parsed
 * again; settled blocks keep their identity, and with it what was rendered of them. No step parses
 * more than some thousand characters, so that a text of any length holds nothing else up.
 */
import { cutEnd, guarded, partsOf } from './guards';
import { type Block, endOf, parseMarkdown, startOf } from './parse';

export interface ShownBlock {
  /** Where the block starts in the text: its key. */
  readonly start: number;
  /** null: the source is shown as plain text. */
  readonly node: Block | null;
  readonly source: string;
}

// A block is settled once so many follow it: a later line can still change the ones before.
const FOLLOWING = 3;
// Characters that one update adds at most, and lines, each of which may be a block.
const STEP = 2_000;
const STEP_LINES = 30;
const STEP_MS = 16;
// A tail of more characters or items is settled where it can be cut: lists take quadratic time.
const MAX_TAIL = 1_500;
// What follows so many blocks is shown as plain text.
const MAX_BLOCKS = 1_000;
// A longer text is not parsed again as a whole when it is complete.
const MAX_WHOLE = 8_000;
// Nor is one with more items.
const MAX_ITEMS = 60;
const ITEMS = /^ *(?:[-*+] |\d{1,9}[.)] |\||\[\^)/gm;
const DEFINITION = /^ {0,3}\[[^\]\n]{1,200}\]:/m;
const FENCE = /^ {0,3}(`{3,}|~{3,})/;
// A blank line, or the line before a fence.
const PLAIN_END = /\n[ \t]*\n|\n(?= {0,3}(?:`{3,}[^`\n]*(?:\n|$)|~{3,}))/;
const ENDED = /\n[ \t]*\n$/;
// With its line complete: until then the language still grows.
const OPENING = /^(`{3,}|~{3,})[^\n]*\n/;

export class StreamingBlocks {
  private text = '';
  private settled: ShownBlock[] = [];
  private settledEnd = 0;
  private tail: ShownBlock[] = [];
  private nextParseAt = 0;
  /** The tail begins inside of plain text. */
  private isPlain = false;
  /** The blocks lack the end of the text: update again after so many milliseconds. */
  waitMs: number | null = null;
  private fence: { closes: RegExp; contentStart: number; block: ShownBlock } | null = null;

  /** `text` extends the one before, unless another begins. `now` is in milliseconds. */
  update(whole: string, now: number): ShownBlock[] {
    if (!whole.startsWith(this.text)) this.reset();
    const text = whole.slice(0, this.stepEnd(whole));
    this.waitMs = text.length < whole.length ? STEP_MS : null;
    if (text === this.text && text !== '') return this.blocks();
    if (this.settled.length >= MAX_BLOCKS) {
      this.text = text;
      const parts = plainBlocks(text.slice(this.settledEnd), this.settledEnd);
      this.settle(parts, parts.length - 1);
      return this.blocks();
    }
    if (this.fence) {
      // An open fence is not parsed: its text is appended.
      const lineStart = Math.max(this.text.lastIndexOf('\n') + 1, this.fence.contentStart);
      const closing = this.fence.closes.exec(text.slice(lineStart));
      this.text = text;
      if (!closing || isCut(closing)) {
        this.growFence(closing ? lineStart + closing.index : text.length);
        return this.blocks();
      }
      this.closeFence(lineStart + closing.index, closing[0]);
    } else if (now < this.nextParseAt) {
      this.waitMs = Math.max(STEP_MS, this.nextParseAt - now);
      return this.blocks();
    }
    this.text = text;
    const started = performance.now();
    this.parseTail();
    // A parse may take a fifth of the time at most, however long the tail is.
    this.nextParseAt = now + 4 * (performance.now() - started);
    return this.blocks();
  }

  /**
   * The blocks of the whole text. Link definitions and footnotes reach across blocks only in one
   * that is short; in a longer one, a block that was settled before its definition stays as it is.
   */
  finish(text: string): ShownBlock[] {
    if (isShort(text) && DEFINITION.test(text)) {
      this.reset();
      return wholeBlocks(text);
    }
    if (!text.startsWith(this.text)) this.reset();
    if (this.fence && this.text === text) this.finishFence(this.fence);
    else {
      this.text = text;
      if (this.settled.length < MAX_BLOCKS) this.parseTail();
    }
    this.fence = null;
    return this.blocks();
  }

  /** Where the next step ends: at the end of a line if there is one, never inside of a pair. */
  private stepEnd(text: string): number {
    const start = this.text.length;
    const step = text.slice(start, start + STEP);
    // The lines of a fence are one block.
    let end = this.fence?.closes.exec(step)?.index ?? (this.fence ? step.length : 0);
    for (let lines = 0; lines < STEP_LINES; lines++) {
      end = step.indexOf('\n', end) + 1;
      if (end === 0)
        return start + STEP >= text.length ? text.length : cutEnd(text, start, STEP, ['\n']);
    }
    return start + end;
  }

  private blocks(): ShownBlock[] {
    return [...this.settled, ...this.tail];
  }

  private reset(): void {
    this.text = '';
    this.settled = [];
    this.settledEnd = 0;
    this.tail = [];
    this.nextParseAt = 0;
    this.isPlain = false;
    this.fence = null;
  }

  private parseTail(): void {
    const source = this.text.slice(this.settledEnd);
    let shown = this.isPlain ? this.plainTail() : parsedPieces(source, this.settledEnd);
    let boundary = lastBoundary(shown, this.text);
    if (boundary === 0 && (source.length > MAX_TAIL || itemCount(source) > MAX_ITEMS)) {
      const cut = lastItemStart(shown);
      if (cut > this.settledEnd) {
        const before = this.text.slice(this.settledEnd, cut);
        const list = parsedPieces(before, this.settledEnd);
        shown = [...list, ...parsedPieces(this.text.slice(cut), cut)];
        boundary = list.length;
      } else boundary = shown.length - 1;
    }
    if (boundary > 0) {
      const before = shown[boundary - 1];
      this.isPlain =
        before?.node === null && shown[boundary]?.node === null && !ENDED.test(before.source);
    }
    this.settle(shown, boundary);
    this.openFence();
  }

  private settle(shown: ShownBlock[], boundary: number): void {
    if (boundary > 0) {
      this.settled = [...this.settled, ...keepIdentity(this.tail, shown.slice(0, boundary))];
      this.settledEnd = shown[boundary]?.start ?? this.settledEnd;
    }
    this.tail = keepIdentity(this.tail, shown.slice(boundary));
  }

  private plainTail(): ShownBlock[] {
    const start = this.settledEnd;
    // The character before may be the end of the line.
    const found = PLAIN_END.exec(this.text.slice(start - 1));
    const end = found ? start - 1 + found.index + found[0].length : this.text.length;
    const plain = end > start ? plainBlocks(this.text.slice(start, end), start) : [];
    const parsed = end < this.text.length ? parsedPieces(this.text.slice(end), end) : [];
    return [...plain, ...parsed];
  }

  private openFence(): void {
    const block = this.tail.at(-1);
    if (block?.node?.type !== 'code') return;
    // The indent of a fence is taken from each of its lines, which only a parse does.
    if (block.start > 0 && this.text[block.start - 1] !== '\n') return;
    const source = this.text.slice(block.start);
    const opening = OPENING.exec(source);
    const mark = opening?.[1];
    if (!opening || !mark) return;
    const character = mark[0] === '`' ? '`' : '~';
    const closes = new RegExp(`^ {0,3}${character}{${mark.length},}[ \\t]*(?:\\r?\\n|$)`, 'm');
    if (closes.test(source.slice(opening[0].length))) return;
    this.fence = { closes, contentStart: block.start + opening[0].length, block };
  }

  private growFence(end: number): void {
    const { fence } = this;
    if (fence?.block.node?.type !== 'code') return;
    const value = this.text.slice(fence.contentStart, end).replace(/\r?\n$/, '');
    const source = this.text.slice(fence.block.start, end);
    const grown: ShownBlock = { ...fence.block, source, node: { ...fence.block.node, value } };
    this.tail = [...this.tail.slice(0, -1), grown];
  }

  private finishFence({ closes, contentStart }: { closes: RegExp; contentStart: number }): void {
    const lineStart = Math.max(this.text.lastIndexOf('\n') + 1, contentStart);
    const closing = closes.exec(this.text.slice(lineStart));
    if (closing) this.closeFence(lineStart + closing.index, closing[0]);
  }

  /** A fence at the beginning of a line ends whatever is before it, so that all of it is settled. */
  private closeFence(end: number, mark: string): void {
    this.growFence(end);
    const code = this.tail.at(-1);
    this.fence = null;
    if (!code) return;
    const line = mark.replace(/\s+$/, '');
    const closed = { ...code, source: this.text.slice(code.start, end + line.length) };
    this.settled = [...this.settled, ...this.tail.slice(0, -1), closed];
    this.settledEnd = end + mark.length;
    this.tail = [];
  }
}

/** At the end of the text so far: the rest of the line can still make it a line of the code. */
function isCut({ 0: mark, index, input }: RegExpExecArray): boolean {
  return !mark.endsWith('\n') && index + mark.length === input.length;
}

/** Short enough to be parsed at once, by its length and by what takes long. */
export function isShort(text: string): boolean {
  return text.length <= MAX_WHOLE && itemCount(text) <= MAX_ITEMS;
}

function itemCount(text: string): number {
  return text.match(ITEMS)?.length ?? 0;
}

export function wholeBlocks(text: string): ShownBlock[] {
  return parsedPieces(text, 0);
}

function parsedPieces(source: string, offset: number): ShownBlock[] {
  return guarded(source).flatMap((piece): ShownBlock[] => {
    const base = offset + piece.start;
    if (piece.isPlain) return plainBlocks(piece.text, base);
    return parseMarkdown(piece.text).children.map((node) => ({
      start: base + startOf(node),
      node,
      source: piece.text.slice(startOf(node), endOf(node)),
    }));
  });
}

function plainBlocks(text: string, offset: number): ShownBlock[] {
  let start = offset;
  return partsOf(text).map((source) => {
    const block = { start, node: null, source };
    start += source.length;
    return block;
  });
}

/** The index of the first block that is not settled. */
function lastBoundary(blocks: readonly ShownBlock[], text: string): number {
  for (let index = blocks.length - FOLLOWING; index > 0; index--) {
    const before = blocks[index - 1];
    const after = blocks[index];
    if (before && after && isSettled(before, after, text)) return index;
  }
  return 0;
}

function isSettled(before: ShownBlock, after: ShownBlock, text: string): boolean {
  const type = before.node?.type;
  const isIndented = type === 'code' && !FENCE.test(before.source);
  if (type === 'list' || type === 'footnoteDefinition' || isIndented) return false;
  const startsLine = after.start === 0 || text[after.start - 1] === '\n';
  return startsLine && ENDED.test(text.slice(before.start + before.source.length - 1, after.start));
}

/** Blocks of the tail whose source did not change keep their node. */
function keepIdentity(before: readonly ShownBlock[], after: readonly ShownBlock[]): ShownBlock[] {
  const known = new Map(before.map((block) => [block.start, block]));
  return after.map((block) => {
    const same = known.get(block.start);
    const isSame = same?.source === block.source && same.node?.type === block.node?.type;
    return isSame && same ? same : block;
  });
}

/** Where the last item of a list begins that is all there is, else 0: lists never settle. */
function lastItemStart([only, ...others]: readonly ShownBlock[]): number {
  if (others.length > 0 || only?.node?.type !== 'list') return 0;
  const item = only.node.children.at(-1)?.position?.start.offset ?? 0;
  return only.start + item - startOf(only.node);
}
