/** The joining rule of docs/api.md: assembles a reply from deltas, cut and repeated anywhere. */
import { codePointLength, cut, offsetOf } from './codePoints';

/** `place` is the number of code points of `text`. */
export interface ReplyText {
  readonly text: string;
  readonly place: number;
}

export const EMPTY: ReplyText = { text: '', place: 0 };

/**
 * The text with a delta that ends at `place`, the same object for a repeat, or null for a gap:
 * then nothing of the delta may be shown, and the stream must be resumed at `held.place`.
 */
export function join(held: ReplyText, delta: string, place: number): ReplyText | null {
  if (!delta.isWellFormed()) return null;
  const start = place - codePointLength(delta);
  if (place <= held.place) return held;
  if (start < 0 || start > held.place) return null;
  return { text: held.text + delta.slice(offsetOf(delta, held.place - start)), place };
}

export interface FinishedText {
  readonly text: string;
  /** The received text was not a prefix of the stored one: a defect, which tests hold at zero. */
  readonly mended: boolean;
}

/** The stored reply is authoritative; it may be shorter if the process that ran it died. */
export function finish(held: ReplyText, place: number, content: string): FinishedText {
  const kept = held.place > place ? cut(held.text, place) : held.text;
  return { text: content, mended: !content.startsWith(kept) };
}
