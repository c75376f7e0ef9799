import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { numbered, shareStack } from './support/setup';

const { stack, open } = shareStack();

test('a reload in the middle of a reply shows what there is, then the rest, once', async () => {
  const chat = await open();
  const pieces = numbered(60);
  stack.model.script('reload me', { pieces, holdBefore: 20 });
  await chat.send('reload me');
  await chat.page.locator('.timeline').getByText('w19').waitFor();
  await chat.page.reload();
  await chat.page.locator('.timeline').getByText('w19').waitFor();
  expect(await chat.page.locator('.notice.danger').count()).toBe(0);
  stack.model.release('reload me');
  await chat.answered();
  const ids = await chat.page
    .locator('[data-message]')
    .evaluateAll((rows) => rows.map((row) => row.getAttribute('data-message')));
  expect(new Set(ids).size).toBe(ids.length);
  expect((await chat.history()).at(-1)?.content).toBe(pieces.join(''));
  await chat.agrees();
  await chat.close();
});

test('leaving a running reply loses nothing', async () => {
  const chat = await open();
  stack.model.script('leave me', { pieces: numbered(40), holdBefore: 10 });
  await chat.send('leave me');
  await chat.page.locator('.timeline').getByText('w9').waitFor();
  const path = new URL(chat.page.url()).pathname;
  await chat.page.getByRole('button', { name: 'New conversation' }).first().click();
  await chat.page.getByText('Write to Helper', { exact: true }).waitFor();
  await chat.page.goBack();
  await chat.page.locator('.timeline').getByText('w9').waitFor();
  await chat.page.goto(`${stack.url}/`);
  stack.model.release('leave me');
  await chat.page.goto(`${stack.url}${path}`);
  await chat.page.locator('.timeline').getByText('w39').waitFor();
  await chat.agrees();
  await chat.close();
});

test('the reply continues after the gateway was killed, and the next message follows it', async () => {
  const chat = await open();
  stack.model.script('kill the gateway', { pieces: numbered(80), holdBefore: 25 });
  await chat.send('kill the gateway');
  await chat.page.locator('.timeline').getByText('w24').waitFor();
  stack.kill('gateway');
  stack.model.release('kill the gateway');
  await chat.page.locator('.timeline').getByText('w79').waitFor({ timeout: 40_000 });
  await chat.answered();
  await chat.send('and now');
  await chat.page.locator('.timeline').getByText('Answer to: and now').waitFor();
  await chat.answered();
  const history = await chat.history();
  expect(history.map((each) => each.role)).toEqual(['user', 'assistant', 'user', 'assistant']);
  expect(history[2]?.parent_message_id).toBe(history[1]?.id);
  chat.errors.length = 0; // The browser logs each request that the killed gateway refused.
  await chat.agrees();
  await chat.close();
});

test('a reply that ends while the browser is offline is shown when it is online again', async () => {
  const chat = await open();
  stack.model.script('offline', { pieces: numbered(30), holdBefore: 10 });
  await chat.send('offline');
  await chat.page.locator('.timeline').getByText('w9').waitFor();
  await chat.context.setOffline(true);
  await chat.page.getByText('You are offline.').waitFor();
  stack.model.release('offline');
  const id = chat.sessionId();
  await expect.poll(async () => (await chat.history(id)).length).toBe(2);
  await chat.context.setOffline(false);
  await chat.page.locator('.timeline').getByText('w29').waitFor({ timeout: 10_000 });
  chat.errors.length = 0; // The browser logs each request that it could not make.
  await chat.agrees();
  await chat.close();
});

test('Stop keeps the text, and the next message is accepted at once', async () => {
  const chat = await open();
  stack.model.script('stop me', { pieces: numbered(60), holdBefore: 12 });
  await chat.send('stop me');
  await chat.page.locator('.timeline').getByText('w11').waitFor();
  await chat.page.getByRole('button', { name: 'Stop' }).click();
  await chat.send('the next one');
  await chat.page
    .locator('.timeline')
    .getByText('Answer to: the next one')
    .waitFor({ timeout: 10_000 });
  await chat.answered();
  const history = await chat.history();
  expect(history[1]?.status).toBe('cancelled');
  expect(history[1]?.content).toContain('w11');
  await chat.page.locator('.message .status').getByText('Stopped').waitFor();
  stack.model.release('stop me');
  await chat.agrees();
  await chat.close();
});

test('a message that is typed during a reply is sent after it, also after a reload', async () => {
  const chat = await open();
  stack.model.script('slow', { pieces: numbered(20), holdBefore: 5 });
  await chat.send('slow');
  await chat.page.locator('.timeline').getByText('w4').waitFor();
  await chat.send('afterwards');
  await chat.page.getByText('Sent after this answer').waitFor();
  await chat.page.reload();
  await chat.page.getByText('Sent after this answer').waitFor();
  stack.model.release('slow');
  await chat.page
    .locator('.timeline')
    .getByText('Answer to: afterwards')
    .waitFor({ timeout: 20_000 });
  await chat.answered();
  const own = (await chat.history()).filter((each) => each.role === 'user');
  expect(own.map((each) => each.content)).toEqual(['slow', 'afterwards']);
  await chat.agrees();
  await chat.close();
});

test('a tab that dies before the answer to its message loses and repeats nothing', async () => {
  const chat = await open();
  await chat.send('first');
  await chat.answered();
  const path = new URL(chat.page.url()).pathname;
  const keys = new Set<string>();
  await chat.context.route('**/messages', async (route) => {
    keys.add(route.request().headers()['idempotency-key'] ?? '');
    // The server has the message; the tab dies before it knows.
    await route.fetch().catch(() => undefined);
  });
  await chat.send('second');
  await expect.poll(() => keys.size).toBe(1);
  await chat.page.close();
  await chat.context.unroute('**/messages');
  chat.context.on('request', (request) => {
    if (request.url().endsWith('/messages')) {
      keys.add(request.headers()['idempotency-key'] ?? '');
    }
  });
  const tab = await chat.openTab(path);
  await tab.locator('.timeline').getByText('Answer to: second').waitFor({ timeout: 20_000 });
  await chat.answered(tab);
  const own = (await chat.history(path.split('/')[2])).filter((each) => each.role === 'user');
  expect(own.map((each) => each.content)).toEqual(['first', 'second']);
  await expect
    .poll(() => tab.evaluate(() => JSON.stringify({ ...localStorage })))
    .not.toContain('parley.outbox');
  expect(keys.size).toBe(1);
  await chat.agrees(tab);
  await chat.close();
});

test('a refused message is back in the field, once, with the reason', async () => {
  const chat = await open();
  await chat.send('first');
  await chat.answered();
  await chat.page.route('**/messages', (route) =>
    route.fulfill({
      status: 503,
      headers: { 'retry-after': '1' },
      json: { error: { message: '', type: '', param: null, code: 'inference_busy' } },
    }),
  );
  await chat.send('refused');
  await chat.page.getByText('The server is busy and stored nothing.').waitFor();
  expect(await chat.page.locator('#composer').inputValue()).toBe('refused');
  await chat.page.unroute('**/messages');
  await chat.page.locator('#composer').press('Enter');
  await chat.page.locator('.timeline').getByText('Answer to: refused').waitFor();
  chat.errors.length = 0; // The browser logs the 503.
  await chat.agrees();
  await chat.close();
});

test('drafts survive a reload and belong to their session', async () => {
  const chat = await open();
  await chat.send('one');
  await chat.answered();
  const field = chat.page.locator('#composer');
  await field.fill('half a thought');
  await field.evaluate((element: HTMLTextAreaElement) => element.setSelectionRange(4, 4));
  await chat.page.reload();
  await chat.page.locator('.timeline').getByText('Answer to: one').waitFor();
  expect(await field.inputValue()).toBe('half a thought');
  expect(await field.evaluate((e: HTMLTextAreaElement) => e.selectionStart)).toBe(4);
  const path = new URL(chat.page.url()).pathname;
  await chat.page.getByRole('button', { name: 'New conversation' }).first().click();
  await chat.page.getByText('Write to Helper', { exact: true }).waitFor();
  expect(await field.inputValue()).toBe('');
  await chat.page.locator(`.session-list a[href="${path}"]`).click();
  await chat.page.locator('.timeline').getByText('Answer to: one').waitFor();
  expect(await field.inputValue()).toBe('half a thought');
  await chat.agrees();
  await chat.close();
});

test('a tab that is hidden for 30 s holds no connection, and catches up when it is seen', async () => {
  const chat = await open();
  stack.model.script('hidden', { pieces: numbered(40), holdBefore: 10 });
  await chat.page.clock.install();
  await chat.send('hidden');
  await chat.page.locator('.timeline').getByText('w9').waitFor();
  let resumed = 0;
  chat.page.on('request', (request) => {
    if (request.url().includes('/stream?')) resumed++;
  });
  const aborted = chat.page.waitForEvent('requestfailed');
  await setVisibility(chat.page, 'hidden');
  await chat.page.clock.runFor(31_000);
  await aborted;
  expect(resumed).toBe(0);
  await setVisibility(chat.page, 'visible');
  stack.model.release('hidden');
  await chat.page.locator('.timeline').getByText('w39').waitFor();
  expect(resumed).toBeGreaterThan(0);
  await chat.page.clock.resume();
  await chat.agrees();
  await chat.close();
}, 60_000);

test('eight tabs with a running reply each load, and the eighth still sends', async () => {
  const chat = await open();
  const tabs = [];
  for (let n = 0; n < 8; n++) {
    const text = `tab ${n}`;
    stack.model.script(text, { pieces: numbered(12), holdBefore: 6 });
    const started = Date.now();
    const tab = n === 0 ? chat.page : await chat.openTab('/');
    await tab.locator('.welcome h1').waitFor();
    await chat.send(text, tab);
    await tab.locator('.timeline').getByText('w5').waitFor();
    // Seven held streams would let a browser wait for one of its six connections for ever.
    expect(Date.now() - started).toBeLessThan(15_000);
    tabs.push(tab);
    // Headless tabs are all visible; a browser shows one at a time.
    if (n < 7) await setVisibility(tab, 'hidden');
  }
  for (const [n, tab] of tabs.entries()) {
    stack.model.release(`tab ${n}`);
    await tab.bringToFront();
    await setVisibility(tab, 'visible');
    await tab.locator('.timeline').getByText('w11').waitFor();
    await chat.agrees(tab);
    if (n < 7) await setVisibility(tab, 'hidden');
  }
  await chat.close();
}, 120_000);

async function setVisibility(page: Page, state: 'hidden' | 'visible'): Promise<void> {
  await page.evaluate((value) => {
    Object.defineProperty(document, 'visibilityState', { value, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, state);
}
