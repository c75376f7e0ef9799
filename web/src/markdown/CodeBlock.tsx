import { startTransition, useEffect, useState } from 'react';
import { useText } from '../i18n/language';
import { CopyButton } from '../ui/CopyButton';
import type { Highlighted } from './workers/highlight';

// Lines of long code that are laid out together: what grows does not move what is above.
const LINES = 200;

interface Properties {
  code: string;
  language: string;
  /** The code may still grow. */
  isOpen: boolean;
}

export function CodeBlock({ code, language, isOpen }: Properties) {
  const t = useText();
  const name = /^[\w+#.-]{1,30}$/.test(language) ? language : t.showCode;
  const highlighted = useHighlighted(code, language, isOpen);
  return (
    <figure className="code" dir="ltr">
      <figcaption>
        <span>{name}</span>
        <CopyButton text={() => code} label={t.copyCode} />
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also with the keyboard. */}
      <pre tabIndex={0}>
        <code>{highlighted ? <Tokens lines={highlighted} /> : <Lines code={code} />}</code>
      </pre>
    </figure>
  );
}

function Lines({ code }: { code: string }) {
  const parts = partsOf(code);
  if (parts.length === 1) return code;
  return parts.map((part, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: parts are only appended.
    <span key={index} className="part">
      {part}
    </span>
  ));
}

/** Parts of so many lines, each with the line break at its end. */
function partsOf(code: string): string[] {
  const parts: string[] = [];
  let [start, lines] = [0, 0];
  for (let at = code.indexOf('\n'); at >= 0; at = code.indexOf('\n', at + 1)) {
    if (++lines % LINES > 0) continue;
    parts.push(code.slice(start, at + 1));
    start = at + 1;
  }
  return [...parts, code.slice(start)];
}

function Tokens({ lines }: { lines: Highlighted }) {
  return lines.map((line, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: the lines of complete code do not change.
    <span key={index}>
      {index > 0 && '\n'}
      {line.map(([text, color], position) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: nor do their tokens.
        <span key={position} style={{ color }}>
          {text}
        </span>
      ))}
    </span>
  ));
}

function useHighlighted(code: string, language: string, isOpen: boolean): Highlighted | null {
  const [shown, setShown] = useState<{ code: string; lines: Highlighted | null } | null>(null);
  useEffect(() => {
    if (isOpen || !language) return;
    let isCurrent = true;
    void import('./workers/highlight')
      .then(({ highlight }) => highlight(code, language))
      // In small steps: thousands of tokens would hold the page up.
      .then((lines) => isCurrent && startTransition(() => setShown({ code, lines })))
      .catch(() => undefined);
    return () => {
      isCurrent = false;
    };
  }, [code, language, isOpen]);
  return shown?.code === code ? shown.lines : null;
}
