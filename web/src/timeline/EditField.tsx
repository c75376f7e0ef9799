import { type KeyboardEvent, useEffect, useRef } from 'react';
import { useText } from '../i18n/language';

interface Properties {
  text: string;
  onSend: (text: string) => void;
  onCancel: () => void;
}

export function EditField({ text, onSend, onCancel }: Properties) {
  const t = useText();
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(text.length, text.length);
  }, [text.length]);
  const send = (): void => {
    const content = field.current?.value ?? '';
    if (content.trim()) onSend(content);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.nativeEvent.isComposing || event.keyCode === 229) return;
    if (event.key === 'Escape') onCancel();
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) send();
  };
  return (
    <div className="edit-field">
      <textarea
        ref={field}
        aria-label={t.editLabel}
        defaultValue={text}
        dir="auto"
        onKeyDown={onKeyDown}
      />
      <div className="buttons">
        <button type="button" className="button" onClick={onCancel}>
          {t.cancel}
        </button>
        <button type="button" className="button primary" onClick={send}>
          {t.sendEdit}
        </button>
      </div>
    </div>
  );
}
