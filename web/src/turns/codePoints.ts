/** Positions in a reply are numbers of Unicode code points; a string counts UTF-16 units. */

export function codePointLength(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    if (isAstralAt(text, i)) {
      length--;
      i++;
    }
  }
  return length;
}

/** The UTF-16 offset of the code point with that index, counted from the start. */
export function offsetOf(text: string, codePoints: number): number {
  let offset = 0;
  for (let count = 0; count < codePoints && offset < text.length; count++) {
    offset += isAstralAt(text, offset) ? 2 : 1;
  }
  return offset;
}

/** The first code points of a text. */
export function cut(text: string, codePoints: number): string {
  return text.slice(0, offsetOf(text, codePoints));
}

function isAstralAt(text: string, offset: number): boolean {
  return (text.codePointAt(offset) ?? 0) > 0xffff;
}
