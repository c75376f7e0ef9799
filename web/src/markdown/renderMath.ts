/** KaTeX, which is loaded with the first formula. MathML needs neither fonts nor styles of it. */
import katex from 'katex';

export function renderMath(source: string, into: HTMLElement, isDisplay: boolean): void {
  try {
    katex.render(source, into, {
      output: 'mathml',
      displayMode: isDisplay,
      throwOnError: true,
      strict: 'ignore',
      // No links, no images, and no macros without end.
      trust: false,
      maxExpand: 100,
      maxSize: 20,
    });
  } catch {
    into.textContent = source;
  }
}
