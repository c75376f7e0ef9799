import { expect, test } from 'vitest';
import type { Message } from './support/chat';
import { HOSTILE, PAYLOADS } from './support/hostile';
import { shareStack } from './support/setup';

const { stack, open } = shareStack();

test('formulas are shown as such, and prices are not', async () => {
  const chat = await open();
  stack.model.script('math', {
    pieces: ['It costs $5 and $10.\n\n$$\\frac{a}{b}$$\n\nand \\(x^2\\), \\[\\wrong{\\]'],
  });
  await chat.send('math');
  await chat.answered();
  await chat.page.locator('.math.display math mfrac').waitFor();
  expect(await chat.page.locator('.markdown math').count()).toBe(2);
  await chat.page.locator('.markdown').getByText('It costs $5 and $10.').waitFor();
  await chat.agrees();
  await chat.close();
});

test('selected code is the content of its block, also of a long one', async () => {
  const chat = await open();
  const code = Array.from({ length: 450 }, (_, n) => `line(${n});${n % 7 ? '' : '\n'}`).join('\n');
  stack.model.script('long code', { pieces: [`\`\`\`\n${code}\n\`\`\``] });
  await chat.send('long code');
  await chat.answered();
  const shown = chat.page.locator('.code code');
  // The page shows a reply that arrives at once in steps, and may not have shown all of them.
  await expect.poll(() => shown.textContent()).toBe(code);
  await shown.selectText();
  const selected = await chat.page.evaluate(() => String(getSelection()));
  expect(selected.replace(/\n$/, '')).toBe(code);
  await chat.page.evaluate(() => getSelection()?.removeAllRanges());
  await chat.agrees();
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
  const pieces = [...PAYLOADS, '[good](https://example.org/a)', '[look](https://аpple.com/)'];
  stack.model.script('attack', { pieces: pieces.map((payload) => `${payload}\n\n`) });
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
  // As a title, in the list, in the address bar's title, and in a search, too.
  const title = PAYLOADS[2] ?? '';
  await chat.api(`/sessions/${chat.sessionId()}`, {
    method: 'PATCH',
    body: JSON.stringify({ title }),
  });
  await chat.page.locator('.bar h1').getByText(title).waitFor();
  await chat.page.locator('.session-list').getByText(title).waitFor();
  const isHarmless = async () => {
    expect(await chat.page.evaluate(() => 'hacked' in window)).toBe(false);
    const found = await chat.page
      .locator(
        ':is(.message, .sidebar, dialog) :is(script, img[src^=h], svg:not(.icon), iframe, style, object, embed, form)',
      )
      .count();
    expect(found).toBe(0);
  };
  await isHarmless();
  await chat.page.keyboard.press('Control+K');
  await chat.page.getByRole('searchbox').fill('hacked');
  await chat.page.locator('.hits a').first().waitFor();
  await isHarmless();
  // Escape empties a search field first.
  await chat.page.getByRole('searchbox').fill('');
  await chat.page.keyboard.press('Escape');
  const links = await chat.page
    .locator('.message a')
    .evaluateAll((all) => all.map((a) => [a.getAttribute('href'), a.getAttribute('rel')]));
  expect(links.length).toBeGreaterThan(0);
  for (const [href, rel] of links) {
    expect(href).toMatch(/^(https?:|mailto:)/);
    expect(rel).toBe('noopener noreferrer nofollow');
  }
  // A remote image is a link with its host; a look-alike host shows its letters.
  await chat.page.getByRole('link', { name: 'x (evil.test)' }).first().waitFor();
  const look = chat.page.getByRole('link', { name: 'look', exact: true });
  expect(await look.getAttribute('title')).toBe('xn--pple-43d.com');
  expect(foreign).toEqual([]);
  await chat.agrees();
  await chat.close();
});

test('replies that hold a parser for seconds do not hold the page', async () => {
  const chat = await open();
  await chat.page.evaluate(() => {
    const seen = { worst: 0 };
    Object.assign(window, { seen });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) seen.worst = Math.max(seen.worst, entry.duration);
    }).observe({ entryTypes: ['longtask'] });
  });
  for (const [name, text] of Object.entries(HOSTILE)) {
    const pieces = text.match(/[\s\S]{1,4000}/gu) ?? [];
    stack.model.script(name, { pieces });
    await chat.send(name);
    const newest = async () => {
      const id = chat.sessionId();
      const page = await chat.api<{ data: Message[] }>(`/history/${id}?limit=1`);
      return page.data[0]?.content;
    };
    await expect.poll(newest, { timeout: 30_000 }).toBe(text);
    await chat.answered();
    await chat.page.locator('section.timeline').hover();
    await chat.page.mouse.wheel(0, -5000);
    await chat.page.mouse.wheel(0, 100_000);
  }
  const worst = await chat.page.evaluate(
    () => (window as unknown as { seen: { worst: number } }).seen.worst,
  );
  // A page that stands still for longer is one that hangs.
  expect(worst).toBeLessThan(3_000);
  await chat.agrees();
  await chat.close();
}, 240_000);

test('text that is shown as it is can be formatted, unless that takes too long', async () => {
  const chat = await open();
  const table = `| a | b |\n|---|---|\n${'| 1 | **2** |\n'.repeat(300)}`;
  stack.model.script('long table', { pieces: [table] });
  await chat.send('long table');
  await chat.answered();
  expect(await chat.page.locator('.plain').textContent()).toContain('| 1 | **2** |');
  await chat.page.getByRole('button', { name: 'Show formatted' }).click();
  await expect.poll(() => chat.page.locator('.markdown tbody tr').count()).toBe(300);
  stack.model.script('paths', { pieces: [HOSTILE['Windows paths'] ?? ''] });
  await chat.send('paths');
  await chat.answered();
  await chat.page.getByRole('button', { name: 'Show formatted' }).click();
  await chat.page.getByText('too intricate to be formatted').waitFor();
  expect(await chat.page.locator('.markdown tbody tr').count()).toBe(300);
  await chat.agrees();
  await chat.close();
});

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
