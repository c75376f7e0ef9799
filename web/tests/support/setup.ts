/** The stack and the browser of one file of tests. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll } from 'vitest';
import { launchBrowser } from './browser';
import { Chat } from './chat';
import { Stack } from './stack';

export interface Shared {
  readonly stack: Stack;
  /** A user of one test, whose browser is closed after the test. */
  open(options?: Parameters<typeof Chat.open>[2]): Promise<Chat>;
}

export function shareStack(): Shared {
  const stack = new Stack();
  let browser: Browser;
  beforeAll(async () => {
    [browser] = await Promise.all([launchBrowser(), stack.start()]);
  });
  afterAll(async () => {
    await browser?.close();
    await stack.stop();
  });
  return { stack, open: (options) => Chat.open(stack, browser, options) };
}

/** A text of numbered words, some of them beyond the basic plane. */
export function numbered(count: number): string[] {
  const marks = ['👍🏽', '𠮷', '🇨🇭', '👨‍👩‍👧', 'e\u0301'];
  return Array.from({ length: count }, (_, n) => `w${n}${marks[n % marks.length]} `);
}

/** Appends messages of both roles in turn to a session. */
export async function importMessages(
  chat: Chat,
  id: string,
  count: number,
  content: (n: number) => string,
): Promise<void> {
  const messages = Array.from({ length: count }, (_, n) => ({
    role: n % 2 ? 'assistant' : 'user',
    content: content(n),
  }));
  for (let start = 0; start < count; start += 500) {
    const body = JSON.stringify({ messages: messages.slice(start, start + 500) });
    await chat.api(`/history/${id}`, { method: 'POST', body });
  }
}
