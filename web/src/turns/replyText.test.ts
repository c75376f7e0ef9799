import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { codePointLength, cut, offsetOf } from './codePoints';
import { EMPTY, finish, join, type ReplyText } from './replyText';
import { anyText, cutsOf } from './testing/texts';

test('a code point beyond the basic plane counts once', () => {
  expect(codePointLength('a👍🏽𠮷')).toBe(4);
  expect(offsetOf('👍b', 1)).toBe(2);
  expect(cut('𐀀𐀀', 1)).toBe('𐀀');
});

test('a delta beyond the place reached is a gap, and shows nothing', () => {
  const held = join(EMPTY, 'ab', 2) ?? EMPTY;
  expect(join(held, 'd', 4)).toBeNull();
});

test('a delta that was received before changes nothing', () => {
  const held = join(EMPTY, 'a👍', 2) ?? EMPTY;
  expect(join(held, '👍', 2)).toBe(held);
});

test('a delta with half of a pair is treated as a gap', () => {
  expect(join(EMPTY, '\ud83d', 1)).toBeNull();
});

test('the stored reply wins, and a shorter one is no defect', () => {
  const held: ReplyText = { text: 'a👍bc', place: 4 };
  expect(finish(held, 2, 'a👍')).toEqual({ text: 'a👍', mended: false });
  expect(finish(held, 6, 'a👍bcde')).toEqual({ text: 'a👍bcde', mended: false });
  expect(finish(held, 2, 'xy')).toEqual({ text: 'xy', mended: true });
});

describe('joining', () => {
  test('any cuts, repeats, overlaps and resumptions give the text, each code point once', () => {
    fc.assert(
      fc.property(anyText, fc.infiniteStream(fc.nat()), (text, random) => {
        const points = [...text];
        let held = EMPTY;
        let appended = 0;
        for (let step = 0; held.place < points.length && step < 10_000; step++) {
          const roll = next(random) % 10;
          // A repeat or an overlap starts before the place reached, a gap after it.
          const back = roll < 3 ? next(random) % (held.place + 1) : 0;
          const skip = roll === 9 ? 1 + (next(random) % 3) : 0;
          const start = held.place - back + skip;
          const end = Math.min(points.length, start + 1 + (next(random) % 7));
          if (start >= end) continue;
          const after = join(held, points.slice(start, end).join(''), end);
          if (skip > 0) expect(after).toBeNull();
          if (after === null) continue;
          appended += after.place - held.place;
          held = after;
          expect(text.startsWith(held.text)).toBe(true);
          expect(codePointLength(held.text)).toBe(held.place);
        }
        expect(held.text).toBe(text);
        expect(appended).toBe(points.length);
      }),
      { numRuns: 300 },
    );
  });

  test('a stored reply that is shorter than what was received is shown as stored', () => {
    fc.assert(
      fc.property(anyText, fc.nat(), (text, seed) => {
        const length = codePointLength(text);
        const kept = seed % (length + 1);
        const stored = cut(text, kept);
        const finished = finish({ text, place: length }, kept, stored);
        expect(finished).toEqual({ text: stored, mended: false });
      }),
    );
  });

  test('the cutting of a text into deltas is arbitrary', () => {
    fc.assert(
      fc.property(anyText, fc.array(fc.nat()), (text, seeds) => {
        let held = EMPTY;
        for (const { delta, place } of cutsOf(text, seeds)) {
          held = join(held, delta, place) ?? EMPTY;
        }
        expect(held.text).toBe(text);
      }),
    );
  });
});

function next(random: Iterator<number>): number {
  return random.next().value ?? 0;
}
