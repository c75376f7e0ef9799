import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { accessibilityViolations } from './support/accessibility';
import { tabWalk } from './support/keyboard';
import { unmarkedTexts } from './support/language';
import { numbered, shareStack } from './support/setup';

const { stack, open } = shareStack();
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

test.each(['light', 'dark'] as const)(
  'no screen violates WCAG 2.2 AA in %s',
  async (colorScheme) => {
    const chat = await open({ colorScheme });
    const violations = () => accessibilityViolations(chat.page);
    expect(await violations()).toEqual([]);
    stack.model.script('all of it', {
      pieces: [
        '# T\n\n- [x] a\n\n> q\n\n`c` [l](https://example.org)\n\n```js\n1\n```\n\n| a |\n|---|\n| b |',
      ],
    });
    await chat.send('all of it');
    await chat.answered();
    expect(await violations()).toEqual([]);
    await chat.page.getByRole('button', { name: 'More actions' }).click();
    expect(await violations()).toEqual([]);
    await chat.page.keyboard.press('Escape');
    await chat.page.getByRole('button', { name: 'Settings' }).click();
    expect(await violations()).toEqual([]);
    for (const path of ['/search', '/usage', '/import']) {
      await chat.page.goto(stack.url + path);
      await chat.page.locator('dialog').waitFor();
      expect(await violations()).toEqual([]);
    }
    await chat.page.goto(`${stack.url}/settings`);
    await chat.page.getByRole('button', { name: 'Sign out' }).click();
    await chat.page.getByText('You are signed out').waitFor();
    expect(await violations()).toEqual([]);
    await chat.close();
  },
);

test('Enter of an input method sends nothing', async () => {
  const chat = await open();
  const field = chat.page.locator('#composer');
  await field.focus();
  const session = await chat.context.newCDPSession(chat.page);
  await session.send('Input.imeSetComposition', {
    text: '你好',
    selectionStart: 2,
    selectionEnd: 2,
  });
  // Chromium marks the Enter that confirms a candidate; Safari sends it late, as key 229.
  await field.evaluate((element) => {
    element.dispatchEvent(
      new KeyboardEvent('keydown', {
        key: 'Enter',
        isComposing: true,
        bubbles: true,
        cancelable: true,
      }),
    );
  });
  await session.send('Input.insertText', { text: '你好' });
  await field.evaluate((element) => {
    element.dispatchEvent(
      new KeyboardEvent('keydown', { key: 'Enter', keyCode: 229, bubbles: true, cancelable: true }),
    );
  });
  expect(await field.inputValue()).toBe('你好');
  expect(chat.page.url()).toBe(`${stack.url}/`);
  await field.press('Enter');
  await chat.page.locator('.timeline').getByText('Answer to: 你好').waitFor();
  await chat.agrees();
  await chat.close();
});

test('a screen reader announces the beginning and the end, not every word', async () => {
  const chat = await open();
  stack.model.script('read me', { pieces: numbered(100), pauseMs: 30 });
  await chat.page.evaluate(() => {
    const spoken: string[] = [];
    Object.assign(window, { spoken });
    const region = document.querySelector('[role=status][aria-live=polite]');
    if (region) {
      new MutationObserver(() => spoken.push(region.textContent ?? '')).observe(region, {
        childList: true,
        characterData: true,
        subtree: true,
      });
    }
  });
  await chat.send('read me');
  await chat.answered();
  await expect
    .poll(() => chat.page.evaluate(() => (window as unknown as { spoken: string[] }).spoken))
    .toEqual(['Sent', 'Helper is answering', expect.stringMatching(/^Helper: w0.*…? \d+ words$/s)]);
  await chat.agrees();
  await chat.close();
});

test('a long reply is announced at most once in ten seconds', async () => {
  const chat = await open();
  const { page } = chat;
  stack.model.script('at length', { pieces: numbered(400), holdBefore: 20, pauseMs: 20 });
  await page.clock.install();
  await page.evaluate(() => {
    const spoken: Array<[number, string]> = [];
    Object.assign(window, { spoken });
    const region = document.querySelector('[role=status][aria-live=polite]');
    if (!region) return;
    new MutationObserver(() => spoken.push([Date.now(), region.textContent ?? ''])).observe(
      region,
      {
        childList: true,
        characterData: true,
        subtree: true,
      },
    );
  });
  await chat.send('at length');
  await page.locator('.message.running').getByText('w19').waitFor();
  stack.model.release('at length');
  for (let n = 60; n < 400; n += 80) {
    await page.locator('.message').getByText(`w${n}`).waitFor();
    await page.clock.fastForward(6_000);
  }
  await chat.answered();
  const spoken = await page.evaluate(
    () => (window as unknown as { spoken: Array<[number, string]> }).spoken,
  );
  const texts = spoken.map(([, text]) => text);
  expect(texts[1]).toBe('Helper is answering');
  expect(texts.at(-1)).toMatch(/^Helper: w0/);
  const still = spoken.slice(2, -1);
  expect(still.length).toBeGreaterThan(0);
  for (const [index, [at, text]] of still.entries()) {
    expect(text).toMatch(/^Still answering, \d+ words$/);
    expect(at - (still[index - 1]?.[0] ?? 0)).toBeGreaterThanOrEqual(10_000);
  }
  await page.clock.resume();
  await chat.agrees();
  await chat.close();
}, 60_000);

test('nothing is untranslated: every text of the pseudo-language has its marks', async () => {
  const chat = await open();
  const { page } = chat;
  // A translation that marks every text, in the place of the Chinese one.
  await page.route(/assets\/zhHans-[^?]*\.js$/, (route) =>
    route.fulfill({
      contentType: 'text/javascript',
      body: `import { zhHans as texts } from ${JSON.stringify(`${route.request().url()}?real`)};
        const mark = (value) => typeof value === 'function' ? (...all) => mark(value(...all)) : '⟦' + value + '⟧';
        export const zhHans = Object.fromEntries(Object.entries(texts).map(([key, value]) => [key, mark(value)]));`,
    }),
  );
  await page.evaluate(() => localStorage.setItem('parley.language', 'zh-Hans'));
  await page.reload();
  await page.locator('.assistants legend').getByText('⟦助手⟧').waitFor();
  expect(await unmarkedTexts(page)).toEqual([]);
  await chat.send('a question');
  await page.locator('.timeline').getByText('Answer to: a question').waitFor();
  await chat.answered();
  expect(await unmarkedTexts(page)).toEqual([]);
  for (const path of ['/settings', '/search', '/usage', '/import']) {
    await page.goto(stack.url + path);
    await page.locator('dialog').waitFor();
    expect(await unmarkedTexts(page)).toEqual([]);
  }
  await page.evaluate(() => localStorage.removeItem('parley.token'));
  await page.goto(stack.url);
  await page.locator('.sign-in').waitFor();
  expect(await unmarkedTexts(page)).toEqual([]);
  expect(chat.errors).toEqual([]);
  await chat.close();
}, 60_000);

test('the page is used by keyboard alone', async () => {
  const chat = await open();
  const { page } = chat;
  await page.keyboard.type('typed at once');
  await page.keyboard.press('Enter');
  await chat.answered();
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('composer');
  await page.keyboard.press('ArrowUp');
  await page.getByLabel('Edit your message').waitFor();
  await page.keyboard.press('Escape');
  await page.getByLabel('Edit your message').waitFor({ state: 'detached' });
  await page.keyboard.press('Control+Shift+O');
  await page.getByText('Write to Helper', { exact: true }).waitFor();
  await tabWalk(page, 16);
  for (const path of ['/search', '/settings', '/usage']) {
    await page.goto(stack.url + path);
    await page.locator('dialog').waitFor();
    await tabWalk(page, 12);
  }
  expect(chat.errors).toEqual([]);
  await chat.close();
});

test('the Chinese page has no English text', async () => {
  const chat = await open({ locale: 'zh-CN', ready: '助手' });
  const { page } = chat;
  await chat.send('你好');
  await page.locator('.timeline').getByText('Answer to: 你好').waitFor();
  expect(await page.evaluate(() => document.documentElement.lang)).toBe('zh-Hans');
  await page.getByRole('button', { name: '设置' }).click();
  const english = await page.evaluate(() => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found: string[] = [];
    while (walker.nextNode()) {
      const parent = walker.currentNode.parentElement;
      const isContent = parent?.closest(
        '[role=status], .account, .body, .assistants, .session-list, .bar, .details, .avatar, .brand',
      );
      if (!isContent) found.push(...(walker.currentNode.textContent?.match(/[A-Za-z]{4,}/g) ?? []));
    }
    return found;
  });
  const names = ['Enter', 'Shift', 'English', 'Helper', 'Pirate'];
  expect(english.filter((word) => !names.includes(word) && !word.startsWith('ada'))).toEqual([]);
  await page.getByText('English').click();
  await page.getByText('Appearance').waitFor();
  await chat.close();
});

test('the keyboard of a phone does not cover the message field', async () => {
  const chat = await open(PHONE);
  const field = chat.page.locator('#composer');
  expect(
    await field.evaluate((element) => Number.parseFloat(getComputedStyle(element).fontSize)),
  ).toBeGreaterThanOrEqual(16);
  await field.fill('one');
  await field.press('Enter');
  expect(await field.inputValue()).toBe('one\n');
  await chat.page.setViewportSize({ width: 390, height: 480 });
  const box = await chat.page.locator('.composer .field').boundingBox();
  expect((box?.y ?? 0) + (box?.height ?? 0)).toBeLessThanOrEqual(480);
  await chat.page.getByRole('button', { name: 'Send' }).click();
  await chat.answered();
  await chat.page.getByRole('button', { name: 'Show conversations' }).click();
  await chat.page.locator('.session-list a').waitFor();
  expect(chat.errors).toEqual([]);
  await chat.close();
});

test('a dark page has no light pixel in its first frame', async () => {
  const chat = await open({ colorScheme: 'light' });
  const { page } = chat;
  await page.evaluate(() => localStorage.setItem('parley.theme', 'dark'));
  // The page's own script never arrives: what is painted is what comes before it.
  await page.route('**/assets/*.js', () => new Promise(() => undefined));
  await page.goto(stack.url, { waitUntil: 'commit' });
  await page.waitForFunction(() => document.styleSheets.length > 0);
  expect(await lightestPixel(page)).toBeLessThan(0.6);
  await chat.close();
});

/** The lightness of the lightest pixel in view, from 0 to 1. */
async function lightestPixel(page: Page): Promise<number> {
  const picture = (await page.screenshot()).toString('base64');
  return page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes]));
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext('2d');
    context?.drawImage(bitmap, 0, 0);
    const pixels = context?.getImageData(0, 0, width, height).data ?? [];
    let lightest = 0;
    for (let at = 0; at < pixels.length; at += 4) {
      const [red = 0, green = 0, blue = 0] = [pixels[at], pixels[at + 1], pixels[at + 2]];
      lightest = Math.max(lightest, 0.2126 * red + 0.7152 * green + 0.0722 * blue);
    }
    return lightest / 255;
  }, picture);
}

test('a wrong clock is named, and refuses no token', async () => {
  const chat = await open();
  await chat.page.addInitScript(() => {
    const now = Date.now;
    Date.now = () => now() + 400 * 86_400_000;
  });
  await chat.page.reload();
  await chat.page.locator('.toasts').getByText('wrong by about 400 days').waitFor();
  await chat.send('still here');
  await chat.answered();
  await chat.agrees();
  await chat.close();
});
