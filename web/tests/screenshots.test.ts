/** Takes a screenshot of each screen into PARLEY_TEST_SCREENSHOTS; skipped without it. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { describe, test } from 'vitest';
import type { Chat } from './support/chat';
import { shareStack } from './support/setup';

const folder = process.env.PARLEY_TEST_SCREENSHOTS ?? '';

const REPLIES = {
  en: `Of course. Here is a short plan for **three days in Lisbon**, with time to breathe:

1. **Alfama and the castle.** Go early; the trams fill up by ten.
2. **Belém.** The tower, the monastery, and the original *pastéis*.
3. **A day off the map**: the ferry to Cacilhas, lunch by the water.

> Most museums are closed on Mondays.

| day | start | walk |
|---|---|---:|
| Friday | Graça | 6 km |
| Saturday | Belém | 4 km |

\`\`\`python
def budget(days: int, per_day: float = 85.0) -> float:
    """A rough total, in euros."""
    return round(days * per_day * 1.1, 2)
\`\`\`

Shall I look for a place to stay near **Graça**? See [the ferry times](https://example.org/ferry).`,
  zh: `当然可以。这里是**三天里斯本**的简单安排，留出休息的时间：

1. **阿尔法玛与城堡。**早点出发，十点以后电车会很挤。
2. **贝伦区。**看塔、修道院，再尝尝正宗的*蛋挞*。
3. **自由的一天**：坐渡轮去 Cacilhas，在水边吃午饭。

> 大多数博物馆周一闭馆。

| 日期 | 起点 | 步行 |
|---|---|---:|
| 周五 | Graça | 6 公里 |
| 周六 | 贝伦 | 4 公里 |

\`\`\`python
def budget(days: int, per_day: float = 85.0) -> float:
    return round(days * per_day * 1.1, 2)
\`\`\`

需要我在 **Graça** 附近找住处吗？`,
};

const QUESTIONS = {
  en: 'I have three days in Lisbon in spring. Could you plan them for me, without rushing?',
  zh: '我春天在里斯本有三天时间。能帮我安排一下吗？不要太赶。',
};

const SIZES = {
  desktop: { viewport: { width: 1280, height: 860 } },
  phone: { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true },
};

describe.skipIf(!folder)('screenshots', () => {
  const { stack, open } = shareStack();

  for (const language of ['en', 'zh'] as const) {
    for (const colorScheme of ['light', 'dark'] as const) {
      for (const size of ['desktop', 'phone'] as const) {
        test(`${language} ${colorScheme} ${size}`, async () => {
          mkdirSync(folder, { recursive: true });
          const chat = await open({
            ...SIZES[size],
            colorScheme,
            locale: language === 'en' ? 'en-GB' : 'zh-CN',
            ready: language === 'en' ? 'Assistants' : '助手',
            deviceScaleFactor: size === 'phone' ? 2 : 1,
          });
          const shoot = async (name: string) => {
            await chat.page.waitForTimeout(300);
            const file = `${name}-${language}-${colorScheme}-${size}.png`;
            await chat.page.screenshot({ path: join(folder, file) });
          };
          await fill(chat, language);
          await shoot('session');
          await states(chat, size === 'phone', shoot);
          await chat.close();
        }, 120_000);
      }
    }
  }

  async function fill(chat: Chat, language: 'en' | 'zh'): Promise<void> {
    const titles =
      language === 'en'
        ? [
            'Names for a small sailing boat',
            'Regular expressions for dates',
            'Letter to the landlord',
          ]
        : ['给小帆船起名字', '匹配日期的正则表达式', '写给房东的信'];
    for (const title of titles) {
      const { id } = await chat.api<{ id: string }>('/sessions', {
        method: 'POST',
        body: JSON.stringify({ assistant_id: 'helper', title }),
      });
      const messages = [{ role: 'user', content: title }];
      await chat.api(`/history/${id}`, { method: 'POST', body: JSON.stringify({ messages }) });
    }
    const question = QUESTIONS[language];
    stack.model.script(question, { pieces: [REPLIES[language]] });
    await chat.page.locator('#composer').fill(question);
    await chat.page.locator('.composer .round-button').click();
    await chat.answered();
    await chat.api(`/sessions/${chat.sessionId()}`, {
      method: 'PATCH',
      body: JSON.stringify({ title: language === 'en' ? 'Three days in Lisbon' : '里斯本三日' }),
    });
    await chat.page.waitForTimeout(2500);
    await chat.page.locator('section.timeline').evaluate((element) => element.scrollTo(0, 0));
  }

  async function states(
    chat: Chat,
    isPhone: boolean,
    shoot: (name: string) => Promise<void>,
  ): Promise<void> {
    const { page } = chat;
    const path = new URL(page.url()).pathname;
    const id = chat.sessionId();
    const send = async (text: string) => {
      await page.locator('#composer').fill(text);
      await page.locator('.composer .round-button').click();
    };
    const dialog = async (name: string) => {
      await page.goto(`${stack.url}/${name}`);
      await page.locator('dialog').waitFor();
    };
    if (isPhone) {
      await page.locator('[data-menu]').click();
      await shoot('list');
      await page.locator('.sidebar > header .icon-button').click();
    }
    await page.locator('.bar [aria-haspopup=menu]').click();
    await shoot('menu');
    await page.locator('[role=menuitem]').last().click();
    await shoot('delete');
    await page.keyboard.press('Escape');

    await dialog('settings');
    await shoot('settings');
    await dialog('usage');
    await page.locator('.chart').waitFor();
    await shoot('usage');
    await dialog('import');
    await shoot('import');
    const file = { object: 'x', messages: [{ role: 'user', content: 'a' }, { role: 'tool' }] };
    await page.locator('input[type=file]').setInputFiles({
      name: 'parley.json',
      mimeType: 'application/json',
      buffer: Buffer.from(JSON.stringify(file)),
    });
    await shoot('import-checked');
    await dialog(`search?in=${id}`);
    await shoot('search');
    await page.getByRole('searchbox').fill('Graça');
    await page.locator('.hits a').first().waitFor();
    await shoot('search-hits');
    await page.getByRole('searchbox').fill('xyzzy');
    await page.locator('.hits a').first().waitFor({ state: 'detached' });
    await shoot('search-none');
    await page.goto(`${stack.url}/`);
    await page.locator('.welcome h1').waitFor();
    await shoot('new');
    await page.keyboard.press('Control+/');
    await page.locator('.shortcuts').waitFor();
    await shoot('shortcuts');

    await page.goto(stack.url + path);
    await page.locator('.markdown').first().waitFor();
    stack.model.script('hold', { pieces: ['', 'A first **part** of ', 'it'], holdBefore: 1 });
    await send('hold');
    await page.locator('.thinking').waitFor();
    await shoot('thinking');
    await page.locator('.composer .round-button.stop').click();
    await chat.answered();
    stack.model.script('hold 2', { pieces: ['A first **part** of ', 'it'], holdBefore: 1 });
    await send('hold 2');
    await page.locator('.message.running .markdown').waitFor();
    await send('and then this');
    await shoot('streaming');
    await page.locator('.composer .round-button.stop').click();
    await chat.answered();
    await shoot('stopped');

    stack.model.script('lost', { pieces: ['The beginning of ', 'it'], holdBefore: 1 });
    await send('lost');
    await page.locator('.message.running .markdown').waitFor();
    await page.route('**/stream?*', (route) => route.abort());
    stack.kill('gateway');
    // Shown after two seconds.
    await page
      .locator('.message.running > .status')
      .waitFor({ timeout: 8_000 })
      .catch(() => undefined);
    await shoot('reconnecting');
    await page.unroute('**/stream?*');
    stack.model.release('lost');
    await chat.answered();

    await chat.context.setOffline(true);
    await page.locator('.notice').first().waitFor();
    await shoot('offline');
    await chat.context.setOffline(false);

    await page.locator('#composer').fill('x'.repeat(300_000));
    await page.locator('.hint.danger').waitFor();
    await shoot('too-long');
    await page.locator('#composer').fill('');

    await answer(page, '**/messages', 409, 'session_full');
    await send('full');
    await page.locator('.notice.danger').waitFor();
    await shoot('full');
    await page.unroute('**/messages');
    await page.locator('#composer').fill('');

    await answer(page, '**/v1/history/**', 503, 'projection_behind');
    await page.reload();
    await page.locator('.notice').first().waitFor();
    await shoot('behind');
    await page.unroute('**/v1/history/**');
    await answer(page, '**/v1/sessions/**', 500, 'internal_error');
    await page.reload();
    await page.locator('.notice.danger').waitFor();
    await shoot('load-failed');
    await page.unroute('**/v1/sessions/**');

    await chat.api(`/sessions/${id}`, {
      method: 'PATCH',
      body: JSON.stringify({ archived: true }),
    });
    await page.reload();
    await page.locator('.notice').first().waitFor();
    await shoot('archived');

    await page.goto(`${stack.url}/`);
    await page.locator('.check input').check();
    await send('between us');
    await chat.answered();
    await page.locator('.notice').first().waitFor();
    await shoot('temporary');
    await chat.api(`/sessions/${chat.sessionId()}`, { method: 'DELETE' });
    await page.locator('.welcome .primary').waitFor({ timeout: 20_000 });
    await shoot('gone');

    // Towards the end: no turn runs until inference asks a model that failed again.
    await page.goto(`${stack.url}/`);
    const pieces = ['Half of an answer, and then ', ''];
    stack.model.script('fail', { pieces, pauseMs: 500, failsAfter: 1 });
    await send('fail');
    await page.locator('.status.danger').waitFor({ timeout: 60_000 });
    await shoot('failed');

    await answer(page, '**/v1/sessions?*', 500, 'internal_error');
    await page.goto(`${stack.url}/`);
    if (isPhone) await page.locator('[data-menu]').click();
    await page.locator('.list-note').waitFor({ timeout: 20_000 });
    await shoot('list-failed');
    await page.unroute('**/v1/sessions?*');

    await page.goto(`${stack.url}/settings`);
    await page.locator('dialog .buttons .danger').last().click();
    await page.locator('.sign-in').waitFor();
    await shoot('signed-out');
    await page.goto(`${stack.url}/`);
    await page.locator('.sign-in').waitFor();
    await page.locator('#token').fill('nonsense');
    await page.locator('.sign-in .primary').click();
    await shoot('sign-in');
  }

  async function answer(page: Page, path: string, status: number, code: string): Promise<void> {
    await page.route(path, (route) =>
      route.fulfill({
        status,
        headers: { 'retry-after': '60' },
        json: { error: { message: '', type: '', param: null, code } },
      }),
    );
  }
});
