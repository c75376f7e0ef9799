import { memo, type ReactNode, useRef, useState } from 'react';
import { useText } from '../i18n/language';
import type { Block } from './parse';
import { formattedBlocks, rememberFormatted } from './parsedBlocks';
import type { ShownBlock } from './streamingBlocks';

interface Properties {
  parts: readonly ShownBlock[];
  /** The text may still grow. */
  isOpen: boolean;
  render: (blocks: readonly Block[]) => ReactNode;
}

/** Text that would hold the page up: as it is, or formatted, if the reader asks for it. */
export function PlainText({ parts, isOpen, render }: Properties) {
  const t = useText();
  const box = useRef<HTMLDivElement>(null);
  const [formatted, setFormatted] = useState<readonly Block[] | 'asked' | 'refused' | null>(() =>
    isOpen ? null : formattedBlocks(textOf(parts)),
  );
  async function format(): Promise<void> {
    if (formatted === 'asked') return;
    setFormatted('asked');
    const text = textOf(parts);
    const blocks = await import('./workers/format')
      .then((worker) => worker.format(text))
      .catch(() => null);
    if (blocks) rememberFormatted(text, blocks);
    setFormatted(blocks ?? 'refused');
    // The button, which has the focus, goes.
    box.current?.focus();
  }
  if (formatted && typeof formatted !== 'string') {
    return (
      <div ref={box} className="markdown" tabIndex={-1}>
        {render(formatted)}
      </div>
    );
  }
  return (
    <div ref={box} className="plain" tabIndex={-1}>
      {parts.map(({ start, source }) => (
        <Part key={start} text={source} />
      ))}
      {formatted === 'refused' ? (
        <p className="muted">{t.notFormatted}</p>
      ) : (
        !isOpen && (
          <button
            type="button"
            className="text-button"
            aria-disabled={formatted === 'asked'}
            onClick={() => void format()}
          >
            {t.showFormatted}
          </button>
        )
      )}
    </div>
  );
}

function textOf(parts: readonly ShownBlock[]): string {
  return parts.map(({ source }) => source).join('');
}

const Part = memo(function Part({ text }: { text: string }) {
  return (
    <div className="part" dir="auto">
      {text}
    </div>
  );
});
