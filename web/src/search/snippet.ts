/** What is shown of a message that was found: pure. */

const BEFORE = 60;
const LENGTH = 240;

/** The part of a text around the first word that was searched for. */
export function snippetOf(text: string, query: string): string {
  const flat = text.replace(/\s+/g, ' ').trim();
  const found = patternOf(query)?.exec(flat)?.index ?? 0;
  const start = found > BEFORE ? startOfWord(flat, found - BEFORE) : 0;
  // A code point has at most two units.
  const shown = [...flat.slice(start, start + 2 * LENGTH)].slice(0, LENGTH).join('');
  return `${start > 0 ? '…' : ''}${shown}${start + shown.length < flat.length ? '…' : ''}`;
}

/** The text in parts, each with whether it is one of the words that were searched for. */
export function marked(text: string, query: string): Array<readonly [string, boolean]> {
  const pattern = patternOf(query);
  if (!pattern) return [[text, false]];
  return text
    .split(pattern)
    .map((part, index) => [part, index % 2 === 1] as const)
    .filter(([part]) => part !== '');
}

function patternOf(query: string): RegExp | null {
  const words = query.match(/[\p{L}\p{N}\p{M}_]+/gu);
  if (!words) return null;
  const longestFirst = words.sort((a, b) => b.length - a.length);
  return new RegExp(`(${longestFirst.join('|')})`, 'iu');
}

function startOfWord(text: string, at: number): number {
  const space = text.indexOf(' ', at);
  return space >= 0 && space - at < 20 ? space + 1 : at;
}
