/** Chromium: PARLEY_TEST_CHROMIUM, else the one on the PATH, else the one of npm. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

export async function launchBrowser(): Promise<Browser> {
  const fonts = process.env.PARLEY_TEST_FONTS;
  const configuration = fonts && fontConfiguration(fonts);
  const browser = await chromium.launch({
    executablePath: await executable(),
    // Nothing else: npm's Chromium suggests flags that switch off the security under test.
    args: ['--no-sandbox'],
    env: { ...process.env, ...(configuration ? { FONTCONFIG_FILE: configuration } : {}) },
  });
  if (configuration) {
    browser.on('disconnected', () => rmSync(dirname(configuration), { recursive: true }));
  }
  return browser;
}

async function executable(): Promise<string> {
  if (process.env.PARLEY_TEST_CHROMIUM) return process.env.PARLEY_TEST_CHROMIUM;
  const folders = (process.env.PATH ?? '').split(delimiter);
  const found = folders
    .flatMap((folder) => NAMES.map((name) => join(folder, name)))
    .find((path) => existsSync(path));
  if (found) return found;
  const { default: packaged } = await import('@sparticuz/chromium');
  return packaged.executablePath();
}

function fontConfiguration(folder: string): string {
  const path = join(mkdtempSync(join(tmpdir(), 'parley-fonts-')), 'fonts.conf');
  writeFileSync(
    path,
    `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<dir>/usr/share/fonts</dir><dir>${folder}</dir><cachedir>${tmpdir()}/parley-font-cache</cachedir>
${preferred('system-ui', ['Roboto', 'DejaVu Sans', 'Noto Sans CJK TC'])}
${preferred('sans', ['Roboto', 'DejaVu Sans', 'Noto Sans CJK TC'])}
${preferred('sans-serif', ['Roboto', 'DejaVu Sans', 'Noto Sans CJK TC'])}
${preferred('monospace', ['DejaVu Sans Mono', 'Noto Sans CJK TC'])}
</fontconfig>`,
  );
  return path;
}

function preferred(family: string, fonts: readonly string[]): string {
  const families = fonts.map((font) => `<family>${font}</family>`).join('');
  return `<alias binding="strong"><family>${family}</family><prefer>${families}</prefer></alias>`;
}
