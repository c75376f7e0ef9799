/** Highlights code beside the page's own thread: grammars are synchronous, and some are slow. */
import { createCssVariablesTheme, createHighlighterCore } from 'shiki/core';
import { createJavaScriptRegexEngine } from 'shiki/engine/javascript';
import type { WorkerAnswer, WorkerRequest } from './askedWorker';
import type { Highlighted, HighlightRequest } from './highlight';

const LANGUAGES: Record<string, () => Promise<unknown>> = {
  bash: () => import('shiki/langs/bash.mjs'),
  c: () => import('shiki/langs/c.mjs'),
  cpp: () => import('shiki/langs/cpp.mjs'),
  csharp: () => import('shiki/langs/csharp.mjs'),
  css: () => import('shiki/langs/css.mjs'),
  diff: () => import('shiki/langs/diff.mjs'),
  docker: () => import('shiki/langs/docker.mjs'),
  go: () => import('shiki/langs/go.mjs'),
  html: () => import('shiki/langs/html.mjs'),
  java: () => import('shiki/langs/java.mjs'),
  javascript: () => import('shiki/langs/javascript.mjs'),
  json: () => import('shiki/langs/json.mjs'),
  jsx: () => import('shiki/langs/jsx.mjs'),
  kotlin: () => import('shiki/langs/kotlin.mjs'),
  markdown: () => import('shiki/langs/markdown.mjs'),
  php: () => import('shiki/langs/php.mjs'),
  python: () => import('shiki/langs/python.mjs'),
  ruby: () => import('shiki/langs/ruby.mjs'),
  rust: () => import('shiki/langs/rust.mjs'),
  sql: () => import('shiki/langs/sql.mjs'),
  swift: () => import('shiki/langs/swift.mjs'),
  toml: () => import('shiki/langs/toml.mjs'),
  tsx: () => import('shiki/langs/tsx.mjs'),
  typescript: () => import('shiki/langs/typescript.mjs'),
  xml: () => import('shiki/langs/xml.mjs'),
  yaml: () => import('shiki/langs/yaml.mjs'),
};
const ALIASES: Record<string, string> = {
  'c#': 'csharp',
  'c++': 'cpp',
  cs: 'csharp',
  dockerfile: 'docker',
  js: 'javascript',
  kt: 'kotlin',
  md: 'markdown',
  mjs: 'javascript',
  py: 'python',
  rb: 'ruby',
  rs: 'rust',
  sh: 'bash',
  shell: 'bash',
  ts: 'typescript',
  yml: 'yaml',
  zsh: 'bash',
};

const THEME = 'parley';
// Colours are variables, so that a change of theme needs no second run.
const theme = createCssVariablesTheme({ name: THEME, variablePrefix: '--code-' });
const highlighter = createHighlighterCore({
  themes: [theme],
  langs: [],
  engine: createJavaScriptRegexEngine({ forgiving: true }),
});

self.addEventListener('message', (event: MessageEvent<WorkerRequest<HighlightRequest>>) => {
  void answer(event.data);
});

async function answer({ id, question }: WorkerRequest<HighlightRequest>): Promise<void> {
  const { code, language } = question;
  const lines = await tokens(code, language);
  self.postMessage({ id, answer: lines } satisfies WorkerAnswer<Highlighted>);
}

async function tokens(code: string, name: string): Promise<Highlighted | null> {
  const language = ALIASES[name.toLowerCase()] ?? name.toLowerCase();
  const load = LANGUAGES[language];
  if (!load) return null;
  try {
    const shared = await highlighter;
    await shared.loadLanguage((await load()) as Parameters<typeof shared.loadLanguage>[0]);
    const { tokens } = shared.codeToTokens(code, { lang: language, theme: THEME });
    return tokens.map((line) => line.map(({ content, color }) => [content, color ?? '']));
  } catch {
    return null; // A grammar that fails leaves the code as it is.
  }
}
