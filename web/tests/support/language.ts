import type { Page } from 'playwright-core';

/** Texts and labels outside of content that lack the marks of the pseudo-language. */
export function unmarkedTexts(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const found: string[] = [];
    const note = (text: string | null) => {
      const bare = (text ?? '').replace(/⟦[^⟧]*⟧/g, '').replace(/[\s\p{P}\p{S}\d]+/gu, '');
      if (bare) found.push(text ?? '');
    };
    const content =
      'time, .body, .avatar, .brand, .assistants .name, .group h3, .group .title, .bar .heading > *, code, kbd, .hit-title, .hit-text, figcaption, [lang], dialog th, dialog td, .totals dd, .segments [lang] *';
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      if (!walker.currentNode.parentElement?.closest(content)) note(walker.currentNode.textContent);
    }
    for (const name of ['aria-label', 'title', 'placeholder', 'alt']) {
      for (const element of document.querySelectorAll(`[${name}]`)) {
        if (!element.closest(content)) note(element.getAttribute(name));
      }
    }
    return found;
  });
}
