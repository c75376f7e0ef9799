import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { guarded } from './guards';
import { safeLink } from './links';
import { type ShownBlock, StreamingBlocks, wholeBlocks } from './streamingBlocks';

const LINES = [
  'A paragraph of text.',
  '**bold** and `code` and *中文（强调）*文',
  '# Heading',
  '- item',
  '  - nested',
  '1. one',
  '> quote',
  '```python',
  '```',
  'print("x")',
  '    indented',
  '| a | b |',
  '|---|---|',
  '---',
  '[link](https://example.org) <b>raw</b>',
  '[ref]: https://example.org',
  'see [ref] and [^1]',
  '[^1]: note',
  '~~~~',
  '  ```js',
  '  ```',
  '',
  '',
  '',
];

const document = fc
  .array(fc.constantFrom(...LINES), { maxLength: 40 })
  .map((lines) => lines.join('\n'));

describe('blocks of a growing text', () => {
  test('any cutting ends with the blocks of one parse of the whole', () => {
    fc.assert(
      fc.property(document, fc.array(fc.integer({ min: 1, max: 30 })), (text, lengths) => {
        const blocks = new StreamingBlocks();
        let end = 0;
        for (const length of lengths) {
          end = Math.min(text.length, end + length);
          // No time passes between parses, and none is skipped.
          blocks.update(text.slice(0, end), Number.POSITIVE_INFINITY);
        }
        expect(plain(blocks.finish(text))).toEqual(plain(wholeBlocks(text)));
      }),
      { numRuns: 200 },
    );
  });

  test('a settled block keeps its identity', () => {
    const blocks = new StreamingBlocks();
    const paragraphs = Array.from({ length: 8 }, (_, index) => `Paragraph ${index}.\n\n`);
    const before = blocks.update(paragraphs.slice(0, 6).join(''), 0);
    const after = blocks.update(paragraphs.join(''), Number.POSITIVE_INFINITY);
    expect(after[0]).toBe(before[0]);
    expect(after[2]).toBe(before[2]);
  });

  test('an open fence grows without a parse, until it is closed', () => {
    const blocks = new StreamingBlocks();
    blocks.update('Intro\n\n```js\nlet a', 0);
    const open = blocks.update('Intro\n\n```js\nlet a = "*1*";\nlet b', 0);
    expect(open.at(-1)?.node).toMatchObject({ type: 'code', value: 'let a = "*1*";\nlet b' });
    const text = 'Intro\n\n```js\nlet a = "*1*";\nlet b\n```\n\nEnd.';
    const closed = blocks.update(text, Number.POSITIVE_INFINITY);
    expect(closed.at(-1)?.node?.type).toBe('paragraph');
  });
});

describe('hostile text', () => {
  test.each([
    ['a line of 100,000 characters', 'x '.repeat(50_000)],
    ['200 kB of Windows paths in one line', 'C:\\Users\\_a_\\b '.repeat(13_000)],
    ['2,000 nested quotes', `${'> '.repeat(2000)}text`],
    ['a list 500 deep', Array.from({ length: 500 }, (_, n) => `${'  '.repeat(n)}- x`).join('\n')],
    ['600 unmatched backtick runs', Array.from({ length: 600 }, (_, n) => '`'.repeat(n)).join(' ')],
    ['50 kB of half emphasis', '_a__b'.repeat(10_000)],
  ])('%s is shown as plain text, whole', (_name, text) => {
    const pieces = guarded(text);
    expect(pieces.some((piece) => piece.isPlain)).toBe(true);
    expect(pieces.map((piece) => piece.text).join('')).toBe(text);
  });

  test.each(['\n\n**End.**\n\nOf it.', '\n```\ncode\n```\n\nEnd.'])(
    'a long paragraph is plain text in parts, which keep their identity, up to %j',
    (ending) => {
      const text = `Intro.\n\n${'*x* y '.repeat(4000)}${ending}`;
      const parts = fc.array(fc.integer({ min: 500, max: 3000 }));
      fc.assert(
        fc.property(parts, (lengths) => {
          const blocks = new StreamingBlocks();
          let end = 0;
          let before: ShownBlock[] = [];
          for (const length of lengths) {
            end = Math.min(text.length, end + length);
            const shown = blocks.update(text.slice(0, end), Number.POSITIVE_INFINITY);
            const settled = before.filter(({ node }) => node === null).slice(0, -1);
            for (const part of settled) expect(shown).toContain(part);
            before = shown;
          }
          while (blocks.update(text, Number.POSITIVE_INFINITY) && blocks.waitMs !== null);
          const whole = wholeBlocks(text);
          expect(whole.filter(({ node }) => node === null).length).toBeGreaterThan(3);
          expect(plain(blocks.finish(text))).toEqual(plain(whole));
        }),
        { numRuns: 50 },
      );
    },
  );

  test('long code is code', () => {
    const code = `\`\`\`\n${'let x = 1;\n'.repeat(5000)}\`\`\``;
    expect(guarded(code).some((piece) => piece.isPlain)).toBe(false);
  });

  test('guards lose no character', () => {
    fc.assert(
      fc.property(document, (text) => {
        expect(
          guarded(text)
            .map((piece) => piece.text)
            .join(''),
        ).toBe(text);
      }),
    );
  });
});

test('links leave the page to the web or to mail only', () => {
  expect(safeLink('https://example.org/a')?.host).toBe('example.org');
  expect(safeLink('mailto:ada@example.org')?.host).toBe('ada@example.org');
  expect(safeLink('https://ехample.org')?.host).toMatch(/^xn--/);
  for (const url of [
    'javascript:alert(1)',
    ' JaVaScRiPt:alert(1)',
    'java\nscript:alert(1)',
    'data:text/html,x',
    'vbscript:x',
    '/relative',
    '//host',
    'blob:https://example.org/x',
    'file:///etc/passwd',
  ]) {
    expect(safeLink(url), url).toBeNull();
  }
});

function plain(blocks: readonly ShownBlock[]): unknown {
  return JSON.parse(
    JSON.stringify(blocks, (key, value) => (key === 'position' ? undefined : value)),
  );
}
