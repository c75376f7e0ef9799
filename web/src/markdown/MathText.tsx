import { useLayoutEffect, useRef } from 'react';

// A longer one is shown as it is written.
const MAX_LENGTH = 1_000;

/** A formula as MathML, once its renderer is loaded; until then, and if it is faulty, its source. */
export function MathText({ source, isDisplay }: { source: string; isDisplay: boolean }) {
  const element = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    const shown = element.current;
    if (!shown) return;
    let isCurrent = true;
    shown.textContent = source;
    if (source.length > MAX_LENGTH) return;
    void import('./renderMath')
      .then(({ renderMath }) => isCurrent && renderMath(source, shown, isDisplay))
      .catch(() => undefined);
    return () => {
      isCurrent = false;
    };
  }, [source, isDisplay]);
  return <span className={isDisplay ? 'math display' : 'math'} dir="ltr" ref={element} />;
}
