/** Arbitrary texts that are hard to cut: beyond the basic plane, joined, combining, right to left. */
import fc from 'fast-check';

const PIECES = [
  'a',
  'word ',
  '中',
  '，',
  '👍🏽',
  '👨‍👩‍👧',
  '🇨🇭',
  '𠮷',
  '𐀀',
  'e\u0301',
  'שלום',
  'م',
  '\ufffd',
  '\0',
  '\u2028',
  '\u0085',
  '\r\n',
  '\n',
  '\u200d',
  '\ufeff',
];

export const anyText = fc
  .array(fc.constantFrom(...PIECES), { maxLength: 60 })
  .map((pieces) => pieces.join(''));

export interface Cut {
  readonly delta: string;
  /** The number of code points up to the end of the delta. */
  readonly place: number;
}

/** Deltas whose lengths in code points the seeds give. */
export function cutsOf(text: string, seeds: readonly number[]): Cut[] {
  const points = [...text];
  const cuts: Cut[] = [];
  for (let at = 0, index = 0; at < points.length; index++) {
    const end = Math.min(points.length, at + 1 + ((seeds[index] ?? 3) % 6));
    cuts.push({ delta: points.slice(at, end).join(''), place: end });
    at = end;
  }
  return cuts;
}
