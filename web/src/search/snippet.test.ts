import fc from 'fast-check';
import { expect, test } from 'vitest';
import { marked, snippetOf } from './snippet';

test('the words that were searched for are marked, in any case', () => {
  expect(marked('Ada met ADA (x).', 'ada x')).toEqual([
    ['Ada', true],
    [' met ', false],
    ['ADA', true],
    [' (', false],
    ['x', true],
    [').', false],
  ]);
});

test('the snippet contains the first word that was found', () => {
  const text = `${'before '.repeat(100)}needle ${'after '.repeat(100)}`;
  expect(snippetOf(text, 'needle')).toMatch(/^….*needle.*…$/);
});

test('no query breaks, and the parts are the text', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (text, query) => {
      const parts = marked(text, query).map(([part]) => part);
      expect(parts.join('')).toBe(text);
      snippetOf(text, query);
    }),
  );
});
