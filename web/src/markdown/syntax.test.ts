import fc from 'fast-check';
import type { PhrasingContent, RootContent } from 'mdast';
import { expect, test } from 'vitest';
import { parseMarkdown } from './parse';
import { StreamingBlocks, wholeBlocks } from './streamingBlocks';

type Node = RootContent | PhrasingContent;

function nodesOf(text: string, type: Node['type']): Node[] {
  const found: Node[] = [];
  const visit = (node: Node): void => {
    if (node.type === type) found.push(node);
    if ('children' in node) for (const child of node.children) visit(child as Node);
  };
  for (const node of parseMarkdown(text).children) visit(node);
  return found;
}

const formulas = (text: string) =>
  nodesOf(text, 'inlineMath').map((node) => (node.type === 'inlineMath' ? node.value : ''));

test.each([
  'It costs $5 and $10.',
  '$a$ and $b$',
  'a $ b',
  '`$$x$$` and `\\(x\\)`',
  '```\n$$x$$\n```',
  'open $$x',
  'open \\(x',
  '\\(x\\] and \\[x',
  '$$$$',
])('%j has no formula', (text) => {
  expect(formulas(text)).toEqual([]);
});

test.each([
  ['$$x^2$$', ['x^2'], true],
  ['then \\(a_1 + b_1\\) and \\(c\\)', ['a_1 + b_1', 'c'], false],
  ['\\[\n\\int_0^1 x\\,dx\n\\]', ['\\int_0^1 x\\,dx'], true],
  ['$$\na = b\n$$', ['a = b'], true],
  ['> \\[\n> a\n> \\]', ['a'], true],
  ['costs $5, or $$x$$', ['x'], true],
])('%j has its formulas', (text, values, isDisplay) => {
  expect(formulas(text)).toEqual(values);
  for (const node of nodesOf(text, 'inlineMath')) expect(node).toMatchObject({ isDisplay });
});

test('no text of formulas breaks the parser', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('$', '\\', '(', ')', '[', ']', 'a', '\n') }),
      (text) => {
        parseMarkdown(text);
      },
    ),
  );
});

// From the specification of micromark-extension-cjk-friendly.
test.each([
  '**中文（…）。**文',
  '**テスト。**テスト',
  'テスト**。テスト**',
  '**テスト（括弧）**です',
  '**「テスト」**テスト',
  '**真，**她',
  'これは**私のやりたかったこと。**だからするの。',
  '**製品ほげ**と**製品ふが**をお試しください',
  '**[製品ほげ](./product-foo)**と',
  '单击游戏**《原神》**的',
  '先进行**“测试”**再',
  '**注意：**请',
  '请看**（附录）**吧',
  '**스크립트(script)**라고',
  '这是**“重点”**内容',
  '*中文。*文',
  '文*（中文）*文',
  '**`code`**と',
  '你好**，世界！**再见',
  '用**“引号”**的',
])('%j is emphasised', (text) => {
  const strong = [...nodesOf(text, 'strong'), ...nodesOf(text, 'emphasis')];
  expect(strong.length).toBeGreaterThan(0);
});

const CORPUS = [
  '# T\n\nA **bold *and* `code`** [link](https://example.org "t") ~~no~~.\n\n- a\n  - b\n\n1. x\n2. y\n',
  '| a | b |\n|---|:-:|\n| `1` | **2** |\n\n> quote\n> > more\n\n```js\nlet a = `$${b}`;\n```\n\nend',
  'A formula $$x^2$$ and \\(y\\).\n\n\\[\nz\n\\]\n\n- [x] done\n- [ ] open\n\n---\n\n中文**强调（是）**文',
  'note[^1] and [ref]\n\n[^1]: text\n\n[ref]: https://example.org\n\n<b>raw</b> &amp; ![i](https://x.y/z)',
  '```md\n```js\nx\n```\n\nend',
  'Text\n\n  ```py\n  if a:\n    b\n  ```\n\nend',
  '- a\n\n~~~\nlast\n~~~',
];

test.each(CORPUS)('every prefix of %j is shown, and the end is one parse of the whole', (text) => {
  const blocks = new StreamingBlocks();
  for (let end = 1; end <= text.length; end++) {
    const shown = blocks.update(text.slice(0, end), Number.POSITIVE_INFINITY);
    expect(shown.length).toBeGreaterThanOrEqual(text.slice(0, end).trim() === '' ? 0 : 1);
  }
  const plain = (all: ReturnType<typeof wholeBlocks>) =>
    all.map(({ start, source, node }) => ({
      start,
      source,
      type: node?.type,
      value: node && 'value' in node ? node.value : null,
    }));
  expect(plain(blocks.finish(text))).toEqual(plain(wholeBlocks(text)));
});

test('a text of any length is shown in steps, and wholly in the end', () => {
  const texts = [
    'A paragraph of some words.\n\n'.repeat(3_000),
    '- an item of a list\n'.repeat(5_000),
    '1. an item\n\n   with two paragraphs\n\n'.repeat(2_000),
    `\`\`\`\n${'code\n'.repeat(20_000)}`,
    '```\nx\n```\n\n'.repeat(3_000),
    '👍'.repeat(30_000),
  ];
  for (const text of texts) {
    const blocks = new StreamingBlocks();
    let steps = 0;
    let shown = blocks.update(text, Number.POSITIVE_INFINITY);
    for (; blocks.waitMs !== null; steps++) {
      const last = shown.at(-1);
      const end = (last?.start ?? 0) + (last?.source.length ?? 0);
      expect(end).toBeLessThanOrEqual((steps + 1) * 2_000);
      shown = blocks.update(text, Number.POSITIVE_INFINITY);
    }
    expect(steps).toBeGreaterThan(2);
    const finished = blocks.finish(text);
    for (const [index, { start }] of finished.entries()) {
      expect(start).toBeGreaterThanOrEqual(finished[index - 1]?.start ?? 0);
    }
    const last = finished.at(-1);
    expect(text.slice((last?.start ?? 0) + (last?.source.length ?? 0)).trim()).toBe('');
  }
});
