import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { importMessages, numbered, shareStack } from './support/setup';

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

test('days are named, and today becomes yesterday at midnight', async () => {
  const chat = await open();
  const { page } = chat;
  await chat.send('good evening');
  await chat.answered();
  const id = chat.sessionId();
  await importMessages(chat, id, 2, (n) => `now ${n}`);
  await page.clock.install();
  await page.goto(`${stack.url}/s/${id}`);
  await page.locator('.day').getByText('Today').waitFor();
  const time = page.locator('.message time').first();
  expect(await time.getAttribute('datetime')).toMatch(/^\d{4}-\d\d-\d\dT/);
  expect(await time.getAttribute('title')).toMatch(/\d{4}/);
  await page.clock.fastForward('24:00:00');
  await page.locator('.day').getByText('Yesterday').waitFor();
  await page.clock.resume();
  expect(chat.errors).toEqual([]);
  await chat.close();
});
