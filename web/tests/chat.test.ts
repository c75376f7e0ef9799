import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchBrowser } from './support/browser';
import { Chat } from './support/chat';
import { Stack } from './support/stack';

const stack = new Stack();
let browser: Browser;

beforeAll(async () => {
  [browser] = await Promise.all([launchBrowser(), stack.start()]);
});

afterAll(async () => {
  await browser?.close();
  await stack.stop();
});

test('the link signs in, and the token leaves the address before anything else runs', async () => {
  const chat = await Chat.open(stack, browser);
  expect(chat.page.url()).toBe(`${stack.url}/`);
  const tab = await chat.openTab('/');
  await tab.getByRole('radio', { name: 'Helper' }).waitFor();
  expect(chat.errors).toEqual([]);
  await chat.close();
});

test('a message is answered, and the session is in the list without a reload', async () => {
  const chat = await Chat.open(stack, browser);
  await chat.send('Hello **there**');
  await chat.answered();
  expect(await chat.page.locator('.message.reply strong').innerText()).toBe('there');
  await chat.page.locator('.session-list a[aria-current=page]').waitFor();
  await chat.agrees();
  await chat.close();
});

test('a double click on Send and three times Enter send one message', async () => {
  const chat = await Chat.open(stack, browser);
  await chat.page.locator('#composer').fill('once');
  await chat.page.getByRole('button', { name: 'Send' }).dblclick();
  await chat.answered();
  await chat.page.locator('#composer').fill('twice');
  await Promise.all([1, 2, 3].map(() => chat.page.keyboard.press('Enter')));
  await chat.answered();
  await chat.page.getByText('Answer to: twice').waitFor();
  const own = (await chat.history()).filter((each) => each.role === 'user');
  expect(own.map((each) => each.content)).toEqual(['once', 'twice']);
  await chat.agrees();
  await chat.close();
});
