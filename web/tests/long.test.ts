import type { Locator, Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { Profiler } from './support/profile';
import { importMessages, shareStack } from './support/setup';

const { open } = shareStack();
const MESSAGES = 2_000;
const content = (n: number) =>
  `Message number ${n}. ${n === 41 ? 'A needle. ' : ''}${'Some words more. '.repeat(n % 9)}`;

interface Long {
  id: string;
  token: string;
}
let long: Long | null = null;

/** The session of 2,000 messages, which the first test makes, with its newest messages shown. */
async function openLong() {
  if (!long) {
    const chat = await open();
    await chat.send('start');
    await chat.answered();
    await importMessages(chat, chat.sessionId(), MESSAGES, content);
    long = { id: chat.sessionId(), token: chat.token };
    await chat.close();
  }
  const chat = await open({ path: `/s/${long.id}`, token: long.token });
  await chat.page
    .locator('.timeline')
    .getByText(`number ${MESSAGES - 1}.`)
    .waitFor();
  return { chat, id: long.id };
}

/** Scrolls up until so many messages are loaded that not all are in the document. */
async function scrollUntilWindowed(page: Page): Promise<void> {
  await page.locator('section.timeline').hover();
  const windowed = page.locator('.timeline[data-windowed]');
  for (let n = 0; n < 100 && (await windowed.count()) === 0; n++) {
    await page.mouse.wheel(0, -2_000);
    await frames(page);
  }
  await windowed.waitFor();
}

/** The row in view that begins nearest to the middle, and its place; waits until one is mounted. */
async function middle(page: Page): Promise<{ id: string; top: number }> {
  const row = await page.waitForFunction(() => {
    const distance = (top: number) => Math.abs(top - innerHeight / 2);
    return [...document.querySelectorAll('[data-message]')]
      .map((each) => ({
        id: each.getAttribute('data-message') ?? '',
        top: each.getBoundingClientRect().top,
      }))
      .filter(({ top }) => top > 0 && top < innerHeight)
      .toSorted((a, b) => distance(a.top) - distance(b.top))[0];
  });
  return row.jsonValue() as Promise<{ id: string; top: number }>;
}

const topOf = (page: Page, id: string | null | undefined) =>
  page.evaluate(
    (wanted) => document.querySelector(`[data-message="${wanted}"]`)?.getBoundingClientRect().top,
    id,
  );

const isInView = async (page: Page, id: string | null | undefined) => {
  const top = await topOf(page, id);
  return top !== undefined && top > 0 && top < 800;
};

const frames = (page: Page, count = 3) =>
  page.evaluate(async (wanted) => {
    for (let n = 0; n < wanted; n++) await new Promise(requestAnimationFrame);
  }, count);

test('scrolling up through 2,000 messages never jumps, and few of them are in the document', async () => {
  const { chat } = await openLong();
  const { page } = chat;
  await scrollUntilWindowed(page);
  const steps: number[] = [];
  for (let n = 0; n < 50; n++) {
    const before = await middle(page);
    await page.mouse.wheel(0, -200);
    await frames(page);
    const after = await topOf(page, before.id);
    if (after !== undefined) steps.push(after - before.top);
  }
  expect(steps.length).toBeGreaterThan(40);
  expect(Math.max(...steps)).toBeLessThanOrEqual(202);
  expect(Math.min(...steps)).toBeGreaterThanOrEqual(-2);
  expect(chat.errors).toEqual([]);
  await chat.close();
});

test('a message that was found far above is loaded and shown; Control+F searches here', async () => {
  const { chat, id } = await openLong();
  const { page } = chat;
  // The browser's own search would miss what is not in the document; up to 200 rows are.
  await page.keyboard.press('Control+K');
  await page.getByRole('searchbox').fill('needle');
  await page.getByText('1 message', { exact: true }).waitFor();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  const row = page.locator('.message', { hasText: 'number 41.' });
  await row.waitFor({ timeout: 30_000 });
  await expect.poll(() => row.boundingBox().then((box) => (box?.y ?? -1) > 0)).toBe(true);
  const [found] = (await chat.history(id)).filter((each) => each.content.includes('needle'));
  expect(new URL(page.url()).searchParams.get('message')).toBe(found?.id);
  // A screen reader counts the messages between, which are not in the document.
  const position = async (message: Locator) => Number(await message.getAttribute('aria-posinset'));
  const last = page.locator('.message', { hasText: `number ${MESSAGES - 1}.` });
  expect((await position(last)) - (await position(row))).toBe(MESSAGES - 1 - 41);

  expect(await page.evaluate(() => document.querySelectorAll('*').length)).toBeLessThan(8_000);
  await page.locator('.timeline[data-windowed]').waitFor();
  const wasPrevented = async () => {
    await page.evaluate(() =>
      addEventListener('keydown', ({ key, defaultPrevented }) => {
        if (key.toLowerCase() === 'f') Object.assign(window, { wasPrevented: defaultPrevented });
      }),
    );
    await page.keyboard.press('Control+F');
    return page.evaluate(() => (window as unknown as { wasPrevented: boolean }).wasPrevented);
  };
  expect(await wasPrevented()).toBe(true);
  await page.getByText('In this conversation only').waitFor();
  expect(await wasPrevented()).toBe(false);

  // The same hit once more, from the other end.
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'To the end' }).click();
  await expect.poll(() => isInView(page, found?.id)).toBe(false);
  await page.keyboard.press('Control+K');
  await page.getByRole('searchbox').fill('needle');
  await page.locator('.hits a').click();
  await expect.poll(() => isInView(page, found?.id)).toBe(true);
  expect(chat.errors).toEqual([]);
  await chat.close();
});

test('an edit that is scrolled out of view is kept', async () => {
  const { chat } = await openLong();
  const { page } = chat;
  await page.locator('#composer').press('ArrowUp');
  await page.getByLabel('Edit your message').fill('half an edit');
  await page.locator('#composer').focus();
  await scrollUntilWindowed(page);
  await page.mouse.wheel(0, -2_000);
  await frames(page);
  await page.getByRole('button', { name: 'To the end' }).click();
  expect(await page.getByLabel('Edit your message').inputValue()).toBe('half an edit');
  expect(chat.errors).toEqual([]);
  await chat.close();
});

test('switching between sessions fifty times keeps the memory', async () => {
  const chat = await open();
  const { page } = chat;
  const paths: string[] = [];
  for (const name of ['one', 'two']) {
    await page.keyboard.press('Control+Shift+O');
    await chat.send(name);
    await chat.answered();
    await importMessages(
      chat,
      chat.sessionId(),
      100,
      (n) => `${n} ${'five words of plain text '.repeat(200)}`,
    );
    paths.push(new URL(page.url()).pathname);
  }
  const profiler = await Profiler.start(page);
  const visit = async (count: number) => {
    for (let n = 0; n < count; n++) {
      await page.locator(`.session-list a[href="${paths[n % 2]}"]`).click();
      await page.locator('.message').first().waitFor();
      await frames(page, 2);
    }
  };
  await visit(6);
  const first = await profiler.memory();
  await visit(50);
  const last = await profiler.memory();
  expect(last.heap / first.heap).toBeLessThan(1.5);
  expect(last.nodes / first.nodes).toBeLessThan(1.5);
  expect(last.listeners / first.listeners).toBeLessThan(1.5);
  expect(chat.errors).toEqual([]);
  await chat.close();
}, 120_000);
