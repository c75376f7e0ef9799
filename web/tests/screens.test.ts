import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { shareStack } from './support/setup';

const { stack, open } = shareStack();

test('a search finds words in all sessions, says when there are none, and recovers', async () => {
  const chat = await open();
  const { page } = chat;
  await chat.send('the lighthouse keeper');
  await chat.answered();
  const id = chat.sessionId();
  await page.getByRole('button', { name: 'New conversation' }).first().click();
  await page.getByRole('button', { name: 'Search' }).click();
  await page.getByText('Finds messages that contain all of the words.').waitFor();
  const field = page.getByRole('searchbox');
  await field.fill('lighthouse');
  await page.locator('.hits mark').first().waitFor();
  expect(await page.locator('.hits mark').first().textContent()).toBe('lighthouse');
  await field.fill('unheardof');
  await page.getByText('No message contains all of these words.').waitFor();
  await page.route('**/v1/search', (route) => route.fulfill({ status: 503, body: '{}' }));
  await field.fill('keeper');
  await page.getByRole('button', { name: 'Try again' }).waitFor({ timeout: 15_000 });
  await page.unroute('**/v1/search');
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.locator('.hits a').first().click();
  await page.locator('.timeline').getByText('the lighthouse keeper', { exact: true }).waitFor();
  expect(chat.sessionId()).toBe(id);
  chat.errors.length = 0; // The browser logs the 503s.
  await page.goto(`${stack.url}/s/${id}`);
  await chat.agrees();
  await chat.close();
});

test('usage is shown by day and by assistant, as a chart and as a table', async () => {
  const chat = await open();
  const { page } = chat;
  await page.getByRole('button', { name: 'Usage' }).click();
  await page.getByText('Nothing was used in this time.').waitFor();
  await page.getByRole('button', { name: 'Close', exact: true }).click();
  await chat.send('count me');
  await chat.answered();
  await expect
    .poll(async () => (await chat.api<{ total: { replies: number } }>('/usage')).total.replies)
    .toBeGreaterThan(0);
  await page.goto(`${stack.url}/usage`);
  await page.getByRole('img', { name: /tokens in 30 days/ }).waitFor();
  await page.getByRole('row', { name: /Helper/ }).waitFor();
  await page.getByText('By day, as a table').click();
  await page.getByRole('columnheader', { name: 'Day' }).waitFor();
  await page.getByText('7 days', { exact: true }).click();
  await page.getByRole('img', { name: /tokens in 7 days/ }).waitFor();
  expect(chat.errors).toEqual([]);
  await chat.close();
});

test('an export is imported again, with its branches', async () => {
  const chat = await open();
  const { page } = chat;
  await chat.send('to be exported');
  await chat.answered();
  await page.getByRole('button', { name: 'Answer again' }).click();
  await page.locator('.branches').getByText('2/2').waitFor();
  await chat.answered();
  const before = await chat.history(chat.sessionId(), '&branches=all');
  await page.getByRole('button', { name: 'Settings' }).click();
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Export all' }).click(),
  ]);
  const file = readFileSync(await download.path());
  await page.getByRole('button', { name: 'Import…' }).click();
  const choose = (name: string, buffer: Buffer) =>
    page.locator('input[type=file]').setInputFiles({ name, mimeType: 'application/json', buffer });
  await choose('notes.txt', Buffer.from('no conversations'));
  await page.getByText('notes.txt contains no conversations').waitFor();
  await choose('parley.json', file);
  await page.getByText('3 messages in 1 conversation.').waitFor();
  await page.getByRole('button', { name: 'Import', exact: true }).click();
  await page.getByText('3 messages imported.').waitFor();
  await page.getByRole('button', { name: 'Show it' }).click();
  await page.locator('.branches').getByText('2/2').waitFor();
  const after = await chat.history(chat.sessionId(), '&branches=all');
  expect(after.map(({ role, content }) => [role, content])).toEqual(
    before.map(({ role, content }) => [role, content]),
  );
  await chat.agrees();
  await chat.close();
});

test('an import that fails halfway is repeated without a second copy', async () => {
  const chat = await open();
  const { page } = chat;
  const session = (name: string) => ({
    object: 'session_export',
    session: { title: name },
    messages: [
      { role: 'user', content: `${name} asks` },
      { role: 'assistant', content: `${name} answers` },
      { role: 'user', content: 'of no time', created_at: 'never' },
    ],
  });
  const sessions = ['one', 'two'].map(session);
  await page.goto(`${stack.url}/import`);
  await page.locator('input[type=file]').setInputFiles({
    name: 'parley.json',
    mimeType: 'application/json',
    buffer: Buffer.from(JSON.stringify({ object: 'export', sessions })),
  });
  let requests = 0;
  await page.route('**/v1/history/**', async (route) => {
    if (route.request().method() !== 'POST' || ++requests !== 2) return route.continue();
    await route.fetch();
    return route.abort();
  });
  await page.getByRole('button', { name: 'Import', exact: true }).click();
  await page.getByRole('alert').getByText('The server cannot be reached.').waitFor();
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByText('4 messages imported. 2 messages are too large or malformed').waitFor();
  const { data } = await chat.api<{ data: Array<{ id: string }> }>('/sessions');
  const contents = await Promise.all(
    data.map(async ({ id }) => (await chat.history(id)).map((each) => each.content)),
  );
  expect(contents.sort()).toEqual([
    ['one asks', 'one answers'],
    ['two asks', 'two answers'],
  ]);
  await chat.close();
});

test('a session is copied, and a full one goes on in a copy with the text that was refused', async () => {
  const chat = await open();
  const { page } = chat;
  await chat.send('original');
  await chat.answered();
  const id = chat.sessionId();
  await page.getByRole('button', { name: 'More actions' }).click();
  await page.getByRole('menuitem', { name: 'Copy into a new conversation' }).click();
  await expect.poll(() => chat.sessionId()).not.toBe(id);
  await page.locator('.timeline').getByText('Answer to: original').waitFor();
  const copy = chat.sessionId();
  await page.route('**/messages', (route) =>
    route.fulfill({
      status: 409,
      json: { error: { message: '', type: '', param: null, code: 'session_full' } },
    }),
  );
  await chat.send('one too many');
  const goOn = page.getByRole('button', { name: 'Continue in a new one' });
  await goOn.click();
  await expect.poll(() => chat.sessionId()).not.toBe(copy);
  // The address changes before the conversation that is shown.
  await goOn.waitFor({ state: 'hidden' });
  await page.unroute('**/messages');
  await expect.poll(() => page.locator('#composer').inputValue()).toBe('one too many');
  await page.locator('#composer').press('Enter');
  await page.locator('.timeline').getByText('Answer to: one too many').waitFor();
  chat.errors.length = 0; // The browser logs the 409.
  await chat.agrees();
  await chat.close();
});

test('a full session that is too long to be copied adds its text to that of a new one', async () => {
  const chat = await open();
  const { page } = chat;
  const field = page.locator('#composer');
  await chat.send('original');
  await chat.answered();
  await page.getByRole('button', { name: 'New conversation' }).first().click();
  await page.locator('.welcome').waitFor();
  await field.fill('unsent');
  await page.locator('.session-list a').click();
  await page.locator('.timeline').getByText('Answer to: original').waitFor();
  const id = chat.sessionId();
  const refuse = (path: string, status: number, code: string) =>
    page.route(path, (route) =>
      route.fulfill({ status, json: { error: { message: '', type: '', param: null, code } } }),
    );
  await refuse('**/messages', 409, 'session_full');
  await chat.send('one too many');
  await refuse('**/fork', 503, 'gateway_busy');
  await page.getByRole('button', { name: 'Continue in a new one' }).click();
  await page.locator('.toasts').getByText('The server is busy').waitFor();
  expect(chat.sessionId()).toBe(id);
  expect(await field.inputValue()).toBe('one too many');
  await page.unroute('**/fork');
  await refuse('**/fork', 409, 'fork_too_large');
  await field.press('End');
  await page.keyboard.type(', and more');
  await page.getByRole('button', { name: 'Continue in a new one' }).click();
  await page.locator('.welcome').waitFor();
  await expect.poll(() => field.inputValue()).toBe('one too many, and more\n\nunsent');
  await page.locator(`.session-list a[href="/s/${id}"]`).click();
  await page.locator('.timeline').getByText('Answer to: original').waitFor();
  expect(await field.inputValue()).toBe('');
  chat.errors.length = 0; // The browser logs the 409s and the 503.
  await chat.agrees();
  await chat.close();
});

test('all conversations are deleted at once, here and in the other tab', async () => {
  const chat = await open();
  const { page } = chat;
  await chat.send('first of all');
  await chat.answered();
  const other = await chat.openTab(new URL(page.url()).pathname);
  await other.locator('.timeline').getByText('Answer to: first of all').waitFor();
  await page.getByRole('button', { name: 'Settings' }).click();
  await page.getByRole('button', { name: 'Delete all…' }).click();
  await page.getByRole('button', { name: 'Delete all', exact: true }).click();
  await page.getByText('All your conversations are deleted.').waitFor();
  await other.getByText('This conversation was deleted.').waitFor();
  expect((await chat.api<{ data: unknown[] }>('/sessions')).data).toEqual([]);
  chat.errors.length = 0; // The browser logs a 404.
  await chat.close();
});

test('a build that was replaced is reloaded once, and the draft is kept', async () => {
  const chat = await open();
  const { page } = chat;
  await page.locator('#composer').fill('half a thought');
  let isGone = true;
  await page.route('**/assets/UsageDialog-*.js', (route) =>
    isGone ? route.fulfill({ status: 404, body: '' }) : route.continue(),
  );
  const loaded = page.waitForEvent('load');
  await page.getByRole('button', { name: 'Usage' }).click();
  isGone = false;
  await loaded;
  await page.getByText('Nothing was used in this time.').waitFor();
  await page.getByRole('button', { name: 'Close', exact: true }).click();
  expect(await page.locator('#composer').inputValue()).toBe('half a thought');

  // For good: no endless reloads and no blank page.
  isGone = true;
  await page.reload();
  await page.getByRole('button', { name: 'Usage' }).click();
  await page.getByText('The page stopped working').waitFor();
  chat.errors.length = 0; // The browser logs the 404s, React what it caught.
  await chat.close();
});

test('a browser that stores nothing says so', async () => {
  const chat = await open();
  const { page } = chat;
  await page.evaluate(() => {
    Storage.prototype.setItem = () => {
      throw new DOMException('full', 'QuotaExceededError');
    };
  });
  await page.locator('#composer').fill('not kept');
  await page.getByText('This browser stores nothing more').waitFor();
  await page.locator('#composer').press('Enter');
  await page.locator('.timeline').getByText('Answer to: not kept').waitFor();
  await chat.agrees();
  await chat.close();
});

test('the shortcuts are listed', async () => {
  const chat = await open();
  await chat.page.keyboard.press('Control+/');
  await chat.page.getByText('Stop the answer').waitFor();
  await chat.page.keyboard.press('Escape');
  await chat.page.locator('dialog').waitFor({ state: 'detached' });
  expect(chat.errors).toEqual([]);
  await chat.close();
});

test('a long paste is folded, sent whole, and shown in part; one that is too large is refused', async () => {
  const chat = await open();
  const { page } = chat;
  const paste = async (text: string) => {
    await page.evaluate((value) => navigator.clipboard.writeText(value), text);
    await page.locator('#composer').press('Control+V');
  };
  const log = Array.from({ length: 600 }, (_, n) => `line ${n} of a log`).join('\n');
  await paste(log);
  await page.getByRole('button', { name: 'Show all 600 lines' }).waitFor();
  await page.locator('#composer').press('Enter');
  await chat.answered();
  await page.locator('.message.own').getByRole('button', { name: 'Show all 600 lines' }).click();
  expect((await page.locator('.own-text').textContent())?.trim()).toBe(log);
  await paste('a line of a log\n'.repeat(65_536));
  const refusal = page.locator('#composer-hint', { hasText: 'the limit is 256 KB.' });
  await refusal.waitFor();
  await page.locator('#composer').press('Enter');
  expect((await chat.history()).length).toBe(2);
  await page.locator('#composer').fill('short');
  await paste('a line of a log\n'.repeat(65_536));
  await refusal.waitFor();
  await page.locator('#composer').press('Enter');
  await refusal.waitFor({ state: 'detached' });
  await chat.answered();
  await chat.agrees();
  await chat.close();
});
