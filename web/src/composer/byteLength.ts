/** The number of bytes of a text in UTF-8, which the server limits; not its characters. */
const encoder = new TextEncoder();

export function byteLength(text: string): number {
  return encoder.encode(text).length;
}
