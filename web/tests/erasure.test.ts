/** After a session is erased, nothing of it is left in the browser: no storage and no memory. */
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import type { Chat } from './support/chat';
import { keepersOf } from './support/heap';
import { shareStack } from './support/setup';

const { stack, open } = shareStack();

/** Fills everything that may keep text: messages, a search, highlighted code, a title, a draft. */
async function write(chat: Chat, marker: string): Promise<void> {
  const { page } = chat;
  stack.model.script(`about ${marker}`, {
    pieces: [`The answer has ${marker} too.\n\n\`\`\`python\nx = "${marker}"\n\`\`\``],
  });
  await chat.send(`about ${marker}`);
  await chat.answered();
  await page.locator('.code code span[style]').first().waitFor();
  const field = page.locator('#composer');
  await field.fill(`${marker} unsent`);
  await page.waitForFunction(
    (text) => JSON.stringify({ ...localStorage }).includes(text),
    `${marker} unsent`,
  );
}

async function search(page: Page, marker: string): Promise<void> {
  await page.keyboard.press('Control+K');
  await page.getByRole('searchbox').fill(marker);
  await page.locator('.hits a').first().waitFor();
  await page.getByRole('searchbox').fill('');
  await page.keyboard.press('Escape');
}

async function expectNothing(chat: Chat, page: Page, marker: string): Promise<void> {
  expect(await page.content()).not.toContain(marker);
  const stored = await page.evaluate(async () => {
    const databases = await indexedDB.databases();
    return JSON.stringify({
      local: { ...localStorage },
      session: { ...sessionStorage },
      databases: databases.map((each) => each.name),
      caches: await caches.keys(),
      state: history.state,
    });
  });
  expect(stored).not.toContain(marker);
  expect(JSON.parse(stored)).toMatchObject({ databases: [], caches: [] });
  const session = await chat.context.newCDPSession(page);
  await expect.poll(() => keepersOf(session, marker), { timeout: 15_000 }).toEqual([]);
}

test('a session that is deleted here leaves nothing', async () => {
  const chat = await open();
  const { page } = chat;
  const marker = 'markerhere7f3a';
  await write(chat, marker);
  await search(page, marker);
  const session = await chat.context.newCDPSession(page);
  expect(await keepersOf(session, marker)).not.toEqual([]);
  await page.getByRole('button', { name: 'More actions' }).click();
  await page.getByRole('menuitem', { name: 'Delete' }).click();
  await page.getByText('erased at once').waitFor();
  await page.getByRole('button', { name: 'Delete' }).last().click();
  await page.getByText('Conversation deleted.').waitFor();
  await page.locator('.session-list').getByText('No conversations yet.').waitFor();
  await expectNothing(chat, page, marker);
  expect(chat.errors).toEqual([]);
  await chat.close();
});

test('all sessions that are deleted here leave nothing, in no tab', async () => {
  const chat = await open();
  const { page } = chat;
  const marker = 'markerall2d6b';
  await write(chat, marker);
  // Another tab has a session that only its memory knows, and text in the field of a new one.
  const tab = await chat.openTab('/');
  await chat.send('only in this tab', tab);
  await chat.answered(tab);
  await tab.getByRole('button', { name: 'New conversation' }).first().click();
  await tab.locator('.welcome').waitFor();
  await tab.locator('#composer').fill(`${marker} new`);
  await page.bringToFront();
  await page.getByRole('button', { name: 'Settings' }).click();
  await page.getByRole('button', { name: 'Delete all…' }).click();
  await page.getByRole('button', { name: 'Delete all', exact: true }).click();
  await page.getByText('All your conversations are deleted.').waitFor();
  await expect.poll(() => tab.locator('#composer').inputValue()).toBe('');
  await tab.bringToFront();
  for (const each of [page, tab]) {
    await each.locator('.session-list').getByText('No conversations yet.').waitFor();
    await expectNothing(chat, each, marker);
    await expectNothing(chat, each, 'only in this tab');
  }
  chat.errors.length = 0; // The browser logs a 404.
  await chat.close();
}, 90_000);

test('deleting all sessions keeps the draft of one under a legal hold, and of no other', async () => {
  const chat = await open();
  const { page } = chat;
  await write(chat, 'markererased8c11');
  const erased = chat.sessionId();
  await page.getByRole('button', { name: 'New conversation' }).first().click();
  await write(chat, 'markerheld4e90');
  // As if the session that is shown were held.
  await page.route('**/v1/sessions', async (route) => {
    if (route.request().method() !== 'DELETE') return route.continue();
    await chat.api(`/sessions/${erased}`, { method: 'DELETE' });
    return route.fulfill({ json: { object: 'sessions.deleted', held: 1, has_more: false } });
  });
  await page.getByRole('button', { name: 'Settings' }).click();
  await page.getByRole('button', { name: 'Delete all…' }).click();
  await page.getByRole('button', { name: 'Delete all', exact: true }).click();
  await page.locator('.toasts').getByText('legal hold').waitFor();
  const stored = () => page.evaluate(() => JSON.stringify({ ...localStorage }));
  await expect.poll(stored).not.toContain('markererased8c11');
  expect(await stored()).toContain('markerheld4e90 unsent');
  await chat.close();
});

test('a session that is erased elsewhere leaves nothing, in no tab', async () => {
  const chat = await open();
  const { page } = chat;
  const marker = 'markerelsewhere9c1d';
  await write(chat, marker);
  const tab = await chat.openTab(new URL(page.url()).pathname);
  await tab.locator('.timeline').getByText('The answer has').waitFor();
  await chat.api(`/sessions/${chat.sessionId()}`, { method: 'DELETE' });
  for (const each of [page, tab]) {
    await each.getByText('This conversation was deleted.').waitFor({ timeout: 20_000 });
    await each.locator('.session-list').getByText('No conversations yet.').waitFor();
    await expectNothing(chat, each, marker);
  }
  chat.errors.length = 0; // The browser logs the 404.
  await chat.close();
}, 90_000);

test('a session that its retention policy erases leaves nothing', async () => {
  const chat = await open();
  const { page } = chat;
  const marker = 'markerretention5be2';
  await page.locator('.assistants label', { hasText: 'Brief' }).click();
  await page.waitForURL('**/s/*');
  await write(chat, marker);
  await page.getByText('This conversation was deleted.').waitFor({ timeout: 60_000 });
  await page.locator('.session-list').getByText('No conversations yet.').waitFor();
  await expectNothing(chat, page, marker);
  chat.errors.length = 0; // The browser logs the 404.
  await chat.close();
}, 120_000);
