import type { Page } from 'playwright-core';
import { expect } from 'vitest';

/** Each stop has a ring that is seen, and the order is that of the document. */
export async function tabWalk(page: Page, count: number): Promise<void> {
  await page.evaluate(() => (document.activeElement as HTMLElement).blur());
  const bad: string[] = [];
  let backwards = 0;
  for (let n = 0; n < count; n++) {
    const stop = await page.evaluate(async () => {
      const before = document.activeElement;
      Object.assign(window, { before });
      return before?.tagName;
    });
    await page.keyboard.press('Tab');
    const seen = await page.evaluate(() => {
      const element = document.activeElement;
      const { before } = window as unknown as { before: Element | null };
      if (!element || element === document.body) return { ring: 'none', isBackwards: false };
      const near = [
        element,
        element.closest('label') ?? element,
        element.closest('.field') ?? element,
        element.nextElementSibling ?? element,
      ];
      const hasRing = near.some((each) => {
        const { outlineStyle, outlineWidth } = getComputedStyle(each);
        return outlineStyle === 'solid' && Number.parseFloat(outlineWidth) >= 2;
      });
      const order = before ? before.compareDocumentPosition(element) : 0;
      return {
        ring: hasRing ? 'ring' : element.outerHTML.slice(0, 200),
        isBackwards: (order & Node.DOCUMENT_POSITION_PRECEDING) > 0,
      };
    });
    if (!['ring', 'none'].includes(seen.ring)) bad.push(seen.ring);
    if (seen.isBackwards && stop !== 'BODY') backwards++;
  }
  expect(bad).toEqual([]);
  // Once around, at most.
  expect(backwards).toBeLessThanOrEqual(2);
}
