/**
 * Finds text that would hold the parser for seconds: it is shown as plain text instead. No
 * parser of Markdown is linear in every input; see docs/chat-page.md.
 */

// Characters of one paragraph, item or line of a table. A paragraph of prose has some hundred.
const MAX_PARAGRAPH = 5_000;
// Of one with so many characters, at most a quarter are marks.
const MARKED_PARAGRAPH = 1_000;
const MARKS = /[`*_[\]\\<>~]/g;
// Lines of a table.
const MAX_ROWS = 200;
const MAX_ROW = 2_000;
const ITEM = /^ *(?:[-*+] |\d{1,9}[.)] |\|)/;
// Marks of quotes, lists and indents at the beginning of one line.
const MAX_NESTING = 40;
const NESTED = new RegExp(`^(?:[ \\t]|>|[-*+] |\\d{1,9}[.)] ){${MAX_NESTING},}`);
const FENCE = /^ {0,3}(`{3,}|~{3,})/;
// Characters of plain text that are laid out together: what is appended moves none of them.
const PART = 2_000;

export interface Piece {
  readonly text: string;
  readonly start: number;
  readonly isPlain: boolean;
}

/** Cuts a text at blank lines into what may be parsed and what may not. */
export function guarded(text: string): Piece[] {
  const hostile: Array<[number, number]> = [];
  let fence = '';
  let start = 0;
  let paragraph = 0;
  let tableRows = 0;
  let isHostile = false;
  let isCode = false;
  const endParagraph = (end: number): void => {
    if (!isCode && isLong(text, paragraph, end)) isHostile = true;
    paragraph = end;
  };
  const close = (end: number): void => {
    endParagraph(end);
    if (isHostile) hostile.push([start, end]);
    start = end;
    tableRows = 0;
    isHostile = false;
    isCode = false;
  };
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', at);
    const end = newline < 0 ? text.length : newline + 1;
    // A prefix suffices to see marks, and a line may be long.
    const line = text.slice(at, Math.min(end, at + 400));
    const mark = FENCE.exec(line)?.[1];
    if (fence) {
      isCode = true;
      if (mark?.startsWith(fence) && line.trim() === mark) fence = '';
    } else if (mark && !(mark.startsWith('`') && line.slice(mark.length + 3).includes('`'))) {
      close(at);
      isCode = true;
      fence = mark;
    } else if (line.trim() === '' && end - at < 400) close(end);
    else if (NESTED.test(line)) isHostile = true;
    else if (ITEM.test(line)) {
      endParagraph(at);
      const isRow = line.trimStart().startsWith('|');
      if (isRow && (++tableRows > MAX_ROWS || end - at > MAX_ROW)) isHostile = true;
    }
    at = end;
  }
  close(text.length);
  return pieces(text, hostile);
}

function isLong(text: string, start: number, end: number): boolean {
  const length = end - start;
  if (length <= MARKED_PARAGRAPH || length > MAX_PARAGRAPH) return length > MAX_PARAGRAPH;
  return (text.slice(start, end).match(MARKS)?.length ?? 0) > length / 4;
}

function pieces(text: string, hostile: ReadonlyArray<[number, number]>): Piece[] {
  const result: Piece[] = [];
  let at = 0;
  for (const [start, end] of hostile) {
    if (start > at) result.push({ text: text.slice(at, start), start: at, isPlain: false });
    result.push({ text: text.slice(start, end), start, isPlain: true });
    at = end;
  }
  if (at < text.length || result.length === 0) {
    result.push({ text: text.slice(at), start: at, isPlain: false });
  }
  return result;
}

/** Cuts plain text into parts, each at the end of a line or of a word if there is one. */
export function partsOf(text: string): string[] {
  const parts: string[] = [];
  let start = 0;
  while (text.length - start > PART) {
    const end = cutEnd(text, start, PART, ['\n', ' ']);
    parts.push(text.slice(start, end));
    start = end;
  }
  return [...parts, text.slice(start)];
}

/** Behind the last of the first marks in the second half of a length, never inside of a pair. */
export function cutEnd(text: string, start: number, length: number, marks: string[]): number {
  const part = text.slice(start, start + length);
  for (const mark of marks) {
    const end = part.lastIndexOf(mark) + 1;
    if (end > length / 2) return start + end;
  }
  const end = start + length;
  return (text.codePointAt(end - 1) ?? 0) > 0xffff ? end - 1 : end;
}
