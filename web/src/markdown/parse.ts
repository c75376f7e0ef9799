/** Markdown into a syntax tree: GitHub's dialect, emphasis that works beside Chinese, formulas. */
import type { Root, RootContent } from 'mdast';
import { fromMarkdown } from 'mdast-util-from-markdown';
import { gfmFromMarkdown } from 'mdast-util-gfm';
import { cjkFriendlyExtension } from 'micromark-extension-cjk-friendly';
import { gfm } from 'micromark-extension-gfm';
import { mathSyntax, mathTree, startMath } from './mathSyntax';

export type Block = RootContent;

const options = {
  extensions: [gfm({ singleTilde: false }), cjkFriendlyExtension(), mathSyntax],
  mdastExtensions: [gfmFromMarkdown(), mathTree],
};

export function parseMarkdown(text: string): Root {
  startMath();
  return fromMarkdown(text, options);
}

export function startOf(block: Block): number {
  return block.position?.start.offset ?? 0;
}

export function endOf(block: Block): number {
  return block.position?.end.offset ?? 0;
}
