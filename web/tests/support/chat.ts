/** A user of the page: a browser context of their own, and the API to compare with. */
import { randomUUID } from 'node:crypto';
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { expect } from 'vitest';
import type { Stack } from './stack';

const NOTHING = 'nothing was copied';

export interface Message {
  readonly id: string;
  readonly parent_message_id: string | null;
  readonly role: string;
  readonly content: string;
  readonly status: string;
}

export class Chat {
  /** Console errors, page errors, unhandled rejections and violations of the CSP. */
  readonly errors: string[] = [];

  private constructor(
    readonly stack: Stack,
    readonly context: BrowserContext,
    readonly page: Page,
    readonly token: string,
  ) {}

  static async open(
    stack: Stack,
    browser: Browser,
    options: BrowserContextOptions & { path?: string; ready?: string; token?: string } = {},
  ): Promise<Chat> {
    const { path = '/', ready = 'Assistants', token: known, ...contextOptions } = options;
    const token = known ?? stack.token(`ada-${randomUUID()}`);
    const context = await browser.newContext({
      locale: 'en-GB',
      timezoneId: 'Europe/Zurich',
      viewport: { width: 1280, height: 800 },
      permissions: ['clipboard-read', 'clipboard-write'],
      ...contextOptions,
    });
    const chat = new Chat(stack, context, await context.newPage(), token);
    await chat.watch(chat.page);
    await chat.page.goto(`${stack.url}${path}#token=${token}`);
    await chat.page.locator('.assistants').getByText(ready).waitFor({ state: 'attached' });
    await chat.page.locator('.assistants label').first().waitFor({ state: 'attached' });
    return chat;
  }

  /** Another tab of the same browser. */
  async openTab(path: string): Promise<Page> {
    const page = await this.context.newPage();
    await this.watch(page);
    await page.goto(`${this.stack.url}${path}`);
    return page;
  }

  async send(text: string, page = this.page): Promise<void> {
    const field = page.locator('#composer');
    await field.fill(text);
    await field.press('Enter');
  }

  /** Waits until the reply to the last message is complete. */
  async answered(page = this.page): Promise<void> {
    const reply = page.locator('.message.reply:not(.running)').last();
    await reply.waitFor().catch(async (error: Error) => {
      const text = (await page.locator('body').textContent())?.slice(0, 500);
      throw new Error(`${error.message}\n${this.errors.join('\n')}\n${text}`);
    });
    const unfinished = page.locator('.message.running, .message.pending');
    await expect.poll(() => unfinished.count(), { timeout: 30_000 }).toBe(0);
  }

  sessionId(page = this.page): string {
    return new URL(page.url()).pathname.split('/')[2] ?? '';
  }

  async api<Body>(path: string, init: RequestInit = {}): Promise<Body> {
    const headers = { authorization: `Bearer ${this.token}`, 'content-type': 'application/json' };
    const response = await fetch(`${this.stack.url}/v1${path}`, { headers, ...init });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as Body;
  }

  async history(id = this.sessionId(), query = ''): Promise<Message[]> {
    const page = await this.api<{ data: Message[] }>(`/history/${id}?limit=100&order=asc${query}`);
    return page.data;
  }

  /** What the page shows: each message's id, and the source that its copy button gives. */
  async shown(page = this.page): Promise<Array<{ id: string; text: string }>> {
    const rows = page.locator('[data-message]');
    const shown = [];
    for (const row of await rows.all()) {
      const id = (await row.getAttribute('data-message')) ?? '';
      const read = () => page.evaluate(() => navigator.clipboard.readText());
      await page.evaluate((text) => navigator.clipboard.writeText(text), NOTHING);
      await row.locator('> footer > [aria-label=Copy]').click();
      // The clipboard is written asynchronously.
      await expect.poll(read).not.toBe(NOTHING);
      shown.push({ id, text: await read() });
    }
    return shown;
  }

  /** The last step of every test: the page shows what the server has, and nothing went wrong. */
  async agrees(page = this.page): Promise<void> {
    await this.answered(page);
    await page.bringToFront();
    const leaf = new URL(page.url()).searchParams.get('leaf');
    const history = await this.history(this.sessionId(page), leaf ? `&leaf=${leaf}` : '');
    expect(await this.shown(page)).toEqual(
      history.map(({ id, content }) => ({ id, text: content })),
    );
    expect(this.errors).toEqual([]);
  }

  async close(): Promise<void> {
    await this.context.close();
  }

  private async watch(page: Page): Promise<void> {
    page.on('pageerror', (error) => this.errors.push(`page error: ${error.message}`));
    page.on('console', (message) => {
      // A machine whose network changes, such as by containers that start, is no defect.
      if (message.type() !== 'error' || message.text().includes('ERR_NETWORK_CHANGED')) return;
      this.errors.push(`console: ${message.text()}`);
    });
    await page.addInitScript(() => {
      addEventListener('securitypolicyviolation', (event) =>
        console.error(`violates ${event.effectiveDirective}: ${event.blockedURI}`),
      );
      addEventListener('unhandledrejection', (event) => console.error(`unhandled ${event.reason}`));
    });
  }
}
