/** The figures of `make bench NAMES=web`, written to PARLEY_TEST_PROFILE; skipped without it. */
import { writeFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { afterAll, describe, expect, test } from 'vitest';
import type { Chat } from './support/chat';
import { HOSTILE } from './support/hostile';
import { Profiler } from './support/profile';
import { importMessages, shareStack } from './support/setup';

const file = process.env.PARLEY_TEST_PROFILE ?? '';
const figures: Record<string, number> = {};

const MESSAGES = 2_000;
const TOKENS = 600;
const PROSE =
  'The ferry leaves at ten, and **most people** miss it because the sign says `nine`. 里斯本的春天。 ';

describe.skipIf(!file)('profile', () => {
  const { stack, open } = shareStack();
  let long: { chat: Chat; id: string };

  afterAll(() => writeFileSync(file, JSON.stringify(figures)));

  test('first load', async () => {
    const chat = await open();
    await chat.page.reload();
    await chat.page.locator('.assistants label').first().waitFor();
    figures.firstPaint = await chat.page.evaluate(
      () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0,
    );
    figures.firstLoadBytes = await chat.page.evaluate(() =>
      performance
        .getEntriesByType('resource')
        .filter((entry) => /\.(js|css)$/.test(entry.name))
        .reduce((sum, entry) => sum + (entry as PerformanceResourceTiming).encodedBodySize, 0),
    );
    const profiler = await Profiler.start(chat.page);
    const idle = await profiler.during(() => chat.page.waitForTimeout(10_000), false);
    figures.idle = idle.task / idle.seconds;
    await chat.close();
  });

  test('100 tokens a second in an empty session', async () => {
    const chat = await open();
    await stream(chat, 'short', 0);
    await chat.close();
  }, 120_000);

  test('100 tokens a second after 10,000 words', async () => {
    const chat = await open();
    await stream(chat, 'words', 10_000);
    await chat.close();
  }, 120_000);

  test('a session of 2,000 messages', async () => {
    const chat = await open();
    await chat.send('start');
    await chat.answered();
    const id = chat.sessionId();
    long = { chat, id };
    await importMessages(chat, id, MESSAGES, (n) => `Message ${n}. ${PROSE.repeat((n % 7) + 1)}`);
    const { page } = chat;
    await page.goto(stack.url);
    await page.locator(`.session-list a[href="/s/${id}"]`).waitFor();
    figures.openCold = await switchTo(page, id);
    const other = await newSession(chat, 'other');
    figures.openCached = await switchTo(page, id);
    await loadAll(chat, id);
    await switchTo(page, other);
    figures.openCachedWhole = await switchTo(page, id);
    const profiler = await Profiler.start(page);
    await page.locator('section.timeline').hover();
    const scrolled = await profiler.during(async () => {
      for (let n = 0; n < 60; n++) {
        await page.mouse.wheel(0, -400);
        await page.waitForTimeout(30);
      }
    });
    figures.scrollWorst = scrolled.worstTask;
    figures.scrollFrames = scrolled.framesPerSecond;
    figures.keyToPaint = await keyToPaint(page);
    figures.nodes = await page.evaluate(() => document.querySelectorAll('*').length);
  }, 240_000);

  test('100 tokens a second in that session', async () => {
    await stream(long.chat, 'long', 0);
    await long.chat.page
      .getByRole('button', { name: 'To the end' })
      .click({ timeout: 500 })
      .catch(() => undefined);
    await stream(long.chat, 'both', 10_000);
    const idle = await (await Profiler.start(long.chat.page)).during(
      () => long.chat.page.waitForTimeout(10_000),
      false,
    );
    figures.idleLong = idle.task / idle.seconds;
    await long.chat.close();
  }, 240_000);

  test('a paste of a megabyte', async () => {
    const chat = await open();
    const profiler = await Profiler.start(chat.page);
    const pasted = await profiler.during(async () => {
      await chat.page.evaluate(() =>
        navigator.clipboard.writeText('a line of a log\n'.repeat(65_536)),
      );
      await chat.page.locator('#composer').press('Control+V');
      await chat.page.locator('.hint.danger').waitFor();
    });
    figures.pasteWorst = pasted.worstTask;
    await chat.close();
  });

  test('hostile replies', async () => {
    const chat = await open();
    const profiler = await Profiler.start(chat.page);
    await chat.page.locator('section.timeline, .welcome').hover();
    let worst = ['', 0] as [string, number];
    for (const [name, text] of Object.entries(HOSTILE)) {
      stack.model.script(name, { pieces: text.match(/[\s\S]{1,500}/gu) ?? [], pauseMs: 4 });
      const seen = await profiler.during(async () => {
        await chat.send(name);
        await chat.answered();
        await chat.page.mouse.wheel(0, -3000);
        await chat.page.waitForTimeout(100);
        await chat.page.mouse.wheel(0, 100_000);
      });
      figures[`hostile ${name}`] = seen.worstTask;
      if (seen.worstTask > worst[1]) worst = [name, seen.worstTask];
    }
    figures.hostileWorst = worst[1];
    await chat.close();
  }, 300_000);

  async function stream(chat: Chat, name: string, words: number): Promise<void> {
    const before = Array.from(
      { length: words / 200 },
      (_, n) =>
        `## Part ${n}\n\n${'Ten short words that say next to nothing at all, again. '.repeat(20)}\n\n`,
    );
    const tokens = Array.from({ length: TOKENS }, (_, n) =>
      n % 40 === 39 ? '\n\n' : `word${n % 10} `,
    );
    const text = `stream ${name}`;
    stack.model.script(text, {
      pieces: [`${before.join('')}begin `, ...tokens, ' finished'],
      pauseMs: 10,
      holdBefore: 1,
    });
    await chat.send(text);
    await chat.page.locator('.message.running').getByText('begin').waitFor();
    await chat.page.waitForTimeout(1_500);
    const profiler = await Profiler.start(chat.page);
    const seen = await profiler.during(async () => {
      stack.model.release(text);
      await chat.page.locator('.message').getByText('finished').waitFor();
    });
    await chat.answered();
    expect((await chat.history()).length).toBeGreaterThan(0);
    figures[`${name}Script`] = (seen.script / TOKENS) * 1000;
    figures[`${name}Frames`] = seen.framesPerSecond;
    figures[`${name}Worst`] = seen.worstTask;
  }

  async function newSession(chat: Chat, text: string): Promise<string> {
    await chat.page.keyboard.press('Control+Shift+O');
    await chat.page.locator('.welcome').waitFor();
    await chat.send(text);
    await chat.answered();
    const id = chat.sessionId();
    await chat.page.locator(`.session-list a[href="/s/${id}"]`).waitFor();
    return id;
  }

  /** Milliseconds from the click to the frame that shows the session's last message. */
  async function switchTo(page: Page, id: string): Promise<number> {
    return page.evaluate(async (path) => {
      const started = performance.now();
      document.querySelector<HTMLElement>(`.session-list a[href="${path}"]`)?.click();
      const frame = () => new Promise(requestAnimationFrame);
      while (location.pathname !== path || !document.querySelector('.timeline [data-message]')) {
        await frame();
      }
      await frame();
      return performance.now() - started;
    }, `/s/${id}`);
  }

  /** By the address of the first message, until which all are loaded. */
  async function loadAll(chat: Chat, id: string): Promise<void> {
    const page = await chat.api<{ data: Array<{ id: string }> }>(
      `/history/${id}?limit=1&order=asc`,
    );
    const first = page.data[0]?.id;
    await chat.page.goto(`${stack.url}/s/${id}?message=${first}`);
    await chat.page.locator(`[data-message="${first}"]`).waitFor({ timeout: 60_000 });
    await chat.page.getByRole('button', { name: 'To the end' }).click();
  }

  async function keyToPaint(page: Page): Promise<number> {
    await page.evaluate(() => {
      const keys: number[] = [];
      Object.assign(window, { keys });
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries())
          if (entry.name === 'keydown') keys.push(entry.duration);
      }).observe({ type: 'event', durationThreshold: 16 } as PerformanceObserverInit);
    });
    await page.locator('#composer').focus();
    await page.keyboard.type('A sentence that is typed key by key, to see how long each takes.', {
      delay: 40,
    });
    await page.waitForTimeout(300);
    await page.locator('#composer').fill('');
    const keys = await page.evaluate(() => (window as unknown as { keys: number[] }).keys);
    keys.sort((a, b) => a - b);
    // A key of under 16 ms is not reported.
    return keys[Math.floor(keys.length * 0.95)] ?? 16;
  }
});
