/** Takes a screenshot of each screen into PARLEY_TEST_SCREENSHOTS; skipped without it. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
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
    await page.goto(`${stack.url}/settings`);
    await page.locator('dialog').waitFor();
    await shoot('settings');
    await page.goto(`${stack.url}/`);
    await page.locator('.welcome h1').waitFor();
    await shoot('new');
    await page.goto(stack.url + path);
    await page.locator('.markdown').first().waitFor();
    stack.model.script('hold', { pieces: ['A first **part** of ', 'it'], holdBefore: 1 });
    await page.locator('#composer').fill('hold');
    await page.locator('.composer .round-button').click();
    await page.locator('.message.running .markdown').waitFor();
    await page.locator('#composer').fill('and then this');
    await page.locator('.composer .round-button').click();
    await shoot('streaming');
    await page.locator('.composer .round-button.stop').click();
    await chat.answered();
    await shoot('stopped');
    await page.evaluate(() => localStorage.removeItem('parley.token'));
    await page.goto(`${stack.url}/`);
    await page.locator('.sign-in').waitFor();
    await shoot('sign-in');
  }
});
