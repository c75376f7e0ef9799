import AxeBuilder from '@axe-core/playwright';
import type { Page } from 'playwright-core';

/** Violations of WCAG 2.2 AA on the page as it is shown now, each with its elements. */
export async function accessibilityViolations(page: Page): Promise<string[]> {
  // While a dialog fades in, its colours have less contrast.
  await page.evaluate(() =>
    Promise.allSettled(
      document
        .getAnimations()
        .filter((each) => each.effect?.getComputedTiming().endTime !== Number.POSITIVE_INFINITY)
        .map((each) => each.finished),
    ),
  );
  const { violations } = await new AxeBuilder({ page })
    .withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'])
    .analyze();
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`);
}
