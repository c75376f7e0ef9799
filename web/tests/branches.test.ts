import { expect, test } from 'vitest';
import type { Chat } from './support/chat';
import { numbered, shareStack } from './support/setup';

const { stack, open } = shareStack();

async function edit(chat: Chat, text: string): Promise<void> {
  const own = chat.page.locator('.message.own').last();
  await own.hover();
  await own.getByRole('button', { name: 'Edit', exact: true }).click();
  await chat.page.getByLabel('Edit your message').fill(text);
  await chat.page.getByLabel('Edit your message').press('Control+Enter');
  await chat.page.locator('.timeline').getByText(`Answer to: ${text}`).waitFor();
  await chat.answered();
}

async function regenerate(chat: Chat): Promise<void> {
  const before = await chat.page.locator('.message.reply').last().getAttribute('data-message');
  await chat.page.getByRole('button', { name: 'Answer again' }).last().click();
  await expect
    .poll(() => chat.page.locator('.message.reply').last().getAttribute('data-message'))
    .not.toBe(before);
  await chat.answered();
}

async function counts(chat: Chat): Promise<string[]> {
  return chat.page.locator('.branches span').allInnerTexts();
}

test('edits and further answers are siblings, also after a reload', async () => {
  const chat = await open();
  await chat.send('version 1');
  await chat.answered();
  await edit(chat, 'version 2');
  await edit(chat, 'version 3');
  await regenerate(chat);
  expect(await counts(chat)).toEqual(['3/3', '2/2']);
  await chat.page.reload();
  await chat.page.locator('.timeline').getByText('Answer to: version 3').waitFor();
  expect(await counts(chat)).toEqual(['3/3', '2/2']);
  await chat.page.locator('.message.own').hover();
  await chat.page.getByRole('button', { name: 'Previous version' }).first().click();
  await chat.page.locator('.timeline').getByText('Answer to: version 2').waitFor();
  expect(new URL(chat.page.url()).searchParams.get('leaf')).toBeTruthy();
  await chat.page.reload();
  await chat.page.locator('.timeline').getByText('Answer to: version 2').waitFor();
  expect(await counts(chat)).toEqual(['2/3']);
  await chat.agrees();
  await chat.close();
});

test('six answers are six after a reload', async () => {
  const chat = await open();
  await chat.send('again and again');
  await chat.answered();
  for (let n = 0; n < 5; n++) await regenerate(chat);
  await chat.page.reload();
  await chat.page.locator('.timeline').getByText('Answer to: again and again').waitFor();
  expect(await counts(chat)).toEqual(['6/6']);
  await chat.agrees();
  await chat.close();
});

test('the reply to an edit never appears under the old message', async () => {
  const chat = await open();
  await chat.send('old question');
  await chat.answered();
  stack.model.script('new question', { pieces: numbered(30), pauseMs: 10 });
  await chat.page.evaluate(() => {
    const seen = { wrong: 0 };
    Object.assign(window, { seen });
    new MutationObserver(() => {
      const text = document.querySelector('.timeline')?.textContent ?? '';
      if (text.includes('old question') && text.includes('w0')) seen.wrong++;
    }).observe(document.body, { childList: true, subtree: true, characterData: true });
  });
  const own = chat.page.locator('.message.own').last();
  await own.hover();
  await own.getByRole('button', { name: 'Edit', exact: true }).click();
  await chat.page.getByLabel('Edit your message').fill('new question');
  await chat.page.getByLabel('Edit your message').press('Control+Enter');
  await chat.page.locator('.timeline').getByText('w29').waitFor();
  expect(
    await chat.page.evaluate(() => (window as unknown as { seen: { wrong: number } }).seen.wrong),
  ).toBe(0);
  await chat.agrees();
  await chat.close();
});

test('the model gets the branch that is shown', async () => {
  const chat = await open();
  await chat.send('my first wording');
  await chat.answered();
  await edit(chat, 'my second wording');
  await chat.page.locator('.message.own').hover();
  await chat.page.getByRole('button', { name: 'Previous version' }).first().click();
  await chat.page.locator('.timeline').getByText('Answer to: my first wording').waitFor();
  await chat.send('continue the first');
  await chat.page.locator('.timeline').getByText('Answer to: continue the first').waitFor();
  await chat.answered();
  const prompt = stack.model.prompts.find((each) => each.at(-1)?.content === 'continue the first');
  const texts = prompt?.map((each) => each.content) ?? [];
  expect(texts).toContain('my first wording');
  expect(texts).not.toContain('my second wording');
  await chat.agrees();
  await chat.close();
});

test('a tab that was cut off hides nothing when it sends, and points out the other branch', async () => {
  const chat = await open();
  await chat.send('common');
  await chat.answered();
  const path = new URL(chat.page.url()).pathname;
  const stale = await chat.openTab(path);
  await stale.locator('.timeline').getByText('Answer to: common').waitFor();
  // Neither polls nor news of other tabs reach it.
  await stale.route('**/v1/history/**', (route) => route.abort());
  await stale.evaluate(() => {
    BroadcastChannel.prototype.postMessage = () => undefined;
    Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await chat.page.bringToFront();
  for (const text of ['here one', 'here two']) {
    await chat.send(text);
    await chat.page.locator('.timeline').getByText(`Answer to: ${text}`).waitFor();
    await chat.answered();
  }
  await stale.bringToFront();
  await chat.send('from the stale tab', stale);
  await stale.locator('.timeline').getByText('Answer to: from the stale tab').waitFor();
  await stale.unroute('**/v1/history/**');
  await stale.getByText('continued elsewhere').waitFor({ timeout: 20_000 });
  const texts = (await chat.history(path.split('/')[2], '&branches=all')).map((e) => e.content);
  for (const text of ['here one', 'here two', 'from the stale tab']) expect(texts).toContain(text);
  await stale.locator('.message.own').last().hover();
  await stale.getByRole('button', { name: 'Previous version' }).last().click();
  await stale.locator('.timeline').getByText('here one', { exact: true }).waitFor();
  chat.errors.length = 0; // The browser logs the requests that were cut.
  await chat.close();
});
