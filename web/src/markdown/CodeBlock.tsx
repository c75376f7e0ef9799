import { useText } from '../i18n/language';
import { CopyButton } from '../ui/CopyButton';

export function CodeBlock({ code, language }: { code: string; language: string }) {
  const t = useText();
  const name = /^[\w+#.-]{1,30}$/.test(language) ? language : t.showCode;
  return (
    <figure className="code" dir="ltr">
      <figcaption>
        <span>{name}</span>
        <CopyButton text={() => code} label={t.copyCode} />
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also with the keyboard. */}
      <pre tabIndex={0}>
        <code>{code}</code>
      </pre>
    </figure>
  );
}
