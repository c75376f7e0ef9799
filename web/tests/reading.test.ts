import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { HOSTILE, PAYLOADS } from './support/hostile';
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
  const long = Array.from({ length: 200 }, (_, n) => `${n} ${'many words '.repeat(23)}\n\n`);
  stack.model.script('follow', {
    pieces: [...paragraphs(60), ...long, 'the end'],
    holdBefore: 60,
    pauseMs: 8,
  });
  await chat.send('follow');
  await chat.page.locator('.timeline').getByText('w59').waitFor();
  await expect.poll(() => distanceToEnd(chat.page)).toBeLessThanOrEqual(8);
  // The end is in view in every frame, not only at last.
  await chat.page.evaluate(() => {
    const seen = { furthest: 0, frames: 0 };
    Object.assign(window, { seen });
    const element = document.querySelector('section.timeline');
    const content = element?.querySelector('.measure');
    if (!element || !content) return;
    // Called after the page's own observer, before the frame is painted.
    new ResizeObserver(() => {
      const { scrollHeight, scrollTop, clientHeight } = element;
      seen.furthest = Math.max(seen.furthest, scrollHeight - scrollTop - clientHeight);
      seen.frames++;
    }).observe(content);
  });
  stack.model.release('follow');
  await chat.page.locator('.timeline').getByText('the end').waitFor();
  const { furthest, frames } = await chat.page.evaluate(
    () => (window as unknown as { seen: { furthest: number; frames: number } }).seen,
  );
  expect(frames).toBeGreaterThan(10);
  expect(furthest).toBeLessThanOrEqual(8);
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

test('a reply that grows in one session scrolls no other one', async () => {
  const chat = await open();
  const { page } = chat;
  stack.model.script('read me', { pieces: paragraphs(150) });
  await chat.send('read me');
  await chat.answered();
  const read = new URL(page.url()).pathname;
  await page.getByRole('button', { name: 'New conversation' }).first().click();
  stack.model.script('grow', { pieces: paragraphs(150), holdBefore: 20, pauseMs: 5 });
  await chat.send('grow');
  await page.locator('.timeline').getByText('w19').waitFor();
  await page.locator(`.session-list a[href="${read}"]`).click();
  await page.locator('.timeline').getByText('w149').waitFor();
  await page.locator('section.timeline').hover();
  await page.mouse.wheel(0, -700);
  await page.getByRole('button', { name: 'To the end' }).waitFor();
  const top = () => page.locator('section.timeline').evaluate((element) => element.scrollTop);
  const before = await top();
  stack.model.release('grow');
  await page.locator('.running-mark').waitFor({ state: 'detached', timeout: 20_000 });
  expect(await top()).toBe(before);
  await chat.agrees();
  await chat.close();
});

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
  await chat.page.locator('.code code').selectText();
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
    await expect
      .poll(
        async () => (await chat.history()).filter((e) => e.role === 'assistant').at(-1)?.content,
        {
          timeout: 30_000,
        },
      )
      .toBe(text);
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
