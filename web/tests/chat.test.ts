import { expect, test } from 'vitest';
import { shareStack } from './support/setup';

const { stack, open } = shareStack();

test('the link signs in, and the token leaves the address before anything else runs', async () => {
  const chat = await open();
  expect(chat.page.url()).toBe(`${stack.url}/`);
  const tab = await chat.openTab('/');
  await tab.getByRole('radio', { name: 'Helper' }).waitFor();
  expect(chat.errors).toEqual([]);
  await chat.close();
});

test('a message is answered, and the session is in the list of both tabs without a reload', async () => {
  const chat = await open();
  const tab = await chat.openTab('/');
  await chat.page.bringToFront();
  await chat.send('Hello **there**');
  await chat.answered();
  expect(await chat.page.locator('.message.reply strong').innerText()).toBe('there');
  await chat.page.locator('.session-list a[aria-current=page]').waitFor();
  await tab.locator('.session-list a').waitFor();
  await chat.agrees();
  await chat.close();
});

test('a double click on Send and three times Enter send one message', async () => {
  const chat = await open();
  await chat.page.locator('#composer').fill('once');
  await chat.page.getByRole('button', { name: 'Send' }).dblclick();
  await chat.answered();
  await chat.page.locator('#composer').fill('twice');
  await Promise.all([1, 2, 3].map(() => chat.page.keyboard.press('Enter')));
  await chat.page.locator('.timeline').getByText('Answer to: twice').waitFor();
  await chat.answered();
  const own = (await chat.history()).filter((each) => each.role === 'user');
  expect(own.map((each) => each.content)).toEqual(['once', 'twice']);
  await chat.agrees();
  await chat.close();
});

test('each assistant has its own sessions', async () => {
  const chat = await open();
  await chat.send('for the helper');
  await chat.answered();
  const helper = chat.sessionId();
  await chat.page.getByRole('radio', { name: 'Pirate' }).check({ force: true });
  await chat.page.waitForURL((url) => !url.pathname.includes(helper));
  await chat.send('for the pirate');
  await chat.page.locator('.timeline').getByText('Answer to: for the pirate').waitFor();
  await chat.answered();
  expect(await chat.page.locator('.session-list a').count()).toBe(1);
  await chat.page.getByRole('radio', { name: 'Helper' }).check({ force: true });
  await chat.page.waitForURL((url) => url.pathname.includes(helper));
  await chat.page.locator('.timeline').getByText('Answer to: for the helper').waitFor();
  await chat.agrees();
  await chat.close();
});

test('a session is renamed, archived and deleted', async () => {
  const chat = await open();
  const { page } = chat;
  await chat.send('marker-7f3a');
  await chat.answered();
  const more = page.getByRole('button', { name: 'More actions' });
  await more.click();
  await page.getByRole('menuitem', { name: 'Rename' }).click();
  await page.getByLabel('Title').fill('A new name');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('heading', { name: 'A new name' }).waitFor();
  await page.locator('.session-list').getByText('A new name').waitFor();
  await more.click();
  await page.getByRole('menuitem', { name: 'Archive' }).click();
  await page.getByText('This conversation is archived.').waitFor();
  await page.getByText('No conversations yet.').waitFor();
  await page.locator('#composer').fill('marker-7f3a unsent');
  await more.click();
  await page.getByRole('menuitem', { name: 'Delete' }).click();
  await page.getByRole('button', { name: 'Delete' }).last().click();
  await page.getByText('Conversation deleted.').waitFor();
  expect(await page.evaluate(() => JSON.stringify({ ...localStorage }))).not.toContain(
    'marker-7f3a',
  );
  expect(await page.content()).not.toContain('marker-7f3a');
  expect(chat.errors).toEqual([]);
  await chat.close();
});

test('after signing out nothing is left in the browser', async () => {
  const chat = await open();
  await chat.send('marker-52be');
  await chat.answered();
  await chat.page.locator('#composer').fill('marker-52be unsent');
  await chat.page.getByRole('button', { name: 'Settings' }).click();
  await chat.page.getByRole('button', { name: 'Sign out' }).click();
  await chat.page.getByText('You are signed out').waitFor();
  const stored = await chat.page.evaluate(() => JSON.stringify({ ...localStorage }));
  expect(stored).not.toContain('marker-52be');
  expect(stored).not.toContain(chat.token);
  expect(chat.errors).toEqual([]);
  await chat.close();
});
