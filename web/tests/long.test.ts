import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { Profiler } from './support/profile';
import { importMessages, numbered, shareStack } from './support/setup';

const { stack, open } = shareStack();
const MESSAGES = 2_000;
const content = (n: number) =>
  `Message number ${n}. ${n === 41 ? 'A needle. ' : ''}${'Some words more. '.repeat(n % 9)}`;

interface Long {
  id: string;
  token: string;
}
let long: Long | null = null;

/** The session of 2,000 messages, which the first test makes. */
async function openLong() {
  if (!long) {
    const chat = await open();
    await chat.send('start');
    await chat.answered();
    await importMessages(chat, chat.sessionId(), MESSAGES, content);
    long = { id: chat.sessionId(), token: chat.token };
    await chat.close();
  }
  return { chat: await open({ path: `/s/${long.id}`, token: long.token }), id: long.id };
}

/** The row under the middle of the view, and its place. */
function middle(page: Page) {
  return page.evaluate(() => {
    const box = document.querySelector('.timeline')?.getBoundingClientRect();
    if (!box) return null;
    const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    const row = at?.closest('[data-message]');
    return row
      ? { id: row.getAttribute('data-message'), top: row.getBoundingClientRect().top }
      : null;
  });
}

const topOf = (page: Page, id: string | null | undefined) =>
  page.evaluate(
    (wanted) => document.querySelector(`[data-message="${wanted}"]`)?.getBoundingClientRect().top,
    id,
  );

const frames = (page: Page, count = 3) =>
  page.evaluate(async (wanted) => {
    for (let n = 0; n < wanted; n++) await new Promise(requestAnimationFrame);
  }, count);

test('scrolling up through 2,000 messages never jumps, and few of them are in the document', async () => {
  const { chat } = await openLong();
  const { page } = chat;
  await page
    .locator('.timeline')
    .getByText(`number ${MESSAGES - 1}.`)
    .waitFor();
  await page.locator('section.timeline').hover();
  const steps: number[] = [];
  for (let n = 0; n < 50; n++) {
    const before = await middle(page);
    await page.mouse.wheel(0, -200);
    await frames(page);
    const after = before ? await topOf(page, before.id) : undefined;
    if (before && after !== undefined) steps.push(after - before.top);
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
  await page
    .locator('.timeline')
    .getByText(`number ${MESSAGES - 1}.`)
    .waitFor();
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
  expect(chat.errors).toEqual([]);
  await chat.close();
});

test('an edit that is scrolled out of view is kept', async () => {
  const { chat } = await openLong();
  const { page } = chat;
  await page
    .locator('.timeline')
    .getByText(`number ${MESSAGES - 1}.`)
    .waitFor();
  await page.locator('#composer').press('ArrowUp');
  await page.getByLabel('Edit your message').fill('half an edit');
  await page.locator('#composer').focus();
  await page.locator('section.timeline').hover();
  for (let n = 0; n < 30; n++) {
    await page.mouse.wheel(0, -600);
    await frames(page, 2);
  }
  await page.getByRole('button', { name: 'To the end' }).click();
  expect(await page.getByLabel('Edit your message').inputValue()).toBe('half an edit');
  expect(chat.errors).toEqual([]);
  await chat.close();
});

test('a reply that streams touches nothing above it', async () => {
  const { chat } = await openLong();
  const { page } = chat;
  await page
    .locator('.timeline')
    .getByText(`number ${MESSAGES - 1}.`)
    .waitFor();
  stack.model.script('go on', { pieces: numbered(900), holdBefore: 20, pauseMs: 5 });
  await chat.send('go on');
  await page.locator('.message.running').getByText('w19').waitFor();
  await frames(page, 20);
  await page.evaluate(() => {
    const seen = { changes: 0 };
    Object.assign(window, { seen });
    const observer = new MutationObserver((records) => {
      seen.changes += records.length;
    });
    for (const rows of document.querySelectorAll('.rows')) {
      observer.observe(rows, {
        childList: true,
        characterData: true,
        attributes: true,
        subtree: true,
      });
    }
    Object.assign(seen, { stop: () => observer.disconnect() });
  });
  stack.model.release('go on');
  await page.locator('.message').getByText('w140').waitFor();
  const { changes, isRunning } = await page.evaluate(() => ({
    changes: (window as unknown as { seen: { changes: number } }).seen.changes,
    isRunning: document.querySelector('.message.running') !== null,
  }));
  expect(isRunning).toBe(true);
  // The groups that leave the neighbourhood of the view, and nothing for each of 130 tokens.
  expect(changes).toBeLessThan(20);
  await chat.answered();
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
  expect(last.nodes).toBeLessThan(8_000);
  expect(chat.errors).toEqual([]);
  await chat.close();
}, 120_000);
