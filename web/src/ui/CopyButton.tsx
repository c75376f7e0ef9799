import { useEffect, useState } from 'react';
import { useText } from '../i18n/language';
import { Icon } from './icons';
import { announce } from './liveRegion';

const SHOWN_MS = 2000;

interface Properties {
  text: () => string;
  label: string;
  /** The formatted form, offered beside the text. */
  html?: () => string;
}

export function CopyButton({ text, label, html }: Properties) {
  const t = useText();
  const [isCopied, setIsCopied] = useState(false);
  useEffect(() => {
    if (!isCopied) return;
    const timer = setTimeout(() => setIsCopied(false), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [isCopied]);
  async function copy(): Promise<void> {
    await copyText(text(), html?.());
    setIsCopied(true);
    announce(t.copied);
  }
  return (
    <button
      type="button"
      className="icon-button small"
      aria-label={label}
      title={isCopied ? t.copied : label}
      onClick={() => void copy()}
    >
      <Icon name={isCopied ? 'check' : 'copy'} />
    </button>
  );
}

async function copyText(text: string, html: string | undefined): Promise<void> {
  if (html && typeof ClipboardItem === 'function') {
    const item = new ClipboardItem({
      'text/plain': new Blob([text], { type: 'text/plain' }),
      'text/html': new Blob([html], { type: 'text/html' }),
    });
    await navigator.clipboard.write([item]).catch(() => navigator.clipboard.writeText(text));
  } else await navigator.clipboard.writeText(text);
}
