import {
  type ClipboardEvent,
  type KeyboardEvent,
  useEffect,
  useLayoutEffect,
  useRef,
  useState,
} from 'react';
import { usePreferences } from '../app/preferences';
import { useText } from '../i18n/language';
import { useTimes } from '../i18n/times';
import { addField, readDraft, writeDraft } from '../turns/storedContent';
import { Icon } from '../ui/icons';
import { announce } from '../ui/liveRegion';
import { byteLength } from './byteLength';

const SAVE_MS = 300;
const STOP_TWICE_MS = 1_000;
// From here on the number of bytes is of interest.
const SHOW_BYTES = 8 * 1024;
const LONG = 20_000;
// Pasted text of so many characters is folded; it stays text of the message.
const FOLDED = 5_000;

interface Properties {
  /** The session, or the assistant of one that does not exist yet. */
  draftId: string;
  name: string;
  maxBytes: number;
  isAnswering: boolean;
  isStopping: boolean;
  isReadOnly: boolean;
  onSubmit: (content: string) => void;
  onStop: () => void;
  onEditLast: () => void;
}

export function Composer(properties: Properties) {
  const { draftId, name, maxBytes, isAnswering, isStopping, onSubmit, onStop } = properties;
  const t = useText();
  const { enterSends } = usePreferences();
  const field = useRef<HTMLTextAreaElement>(null);
  const escapedAt = useRef(0);
  const [refused, setRefused] = useState<number | null>(null);
  const [pasted, setPasted] = useState<{ lines: number; isFolded: boolean } | null>(null);
  const { bytes, noteInput, isEmpty } = useDraft(draftId, field);
  const isTooLong = bytes > maxBytes;
  useEffect(() => {
    if (isEmpty) setPasted(null);
  }, [isEmpty]);
  const times = useTimes();
  const kilobytes = (count: number) => times.number(count / 1024);

  function submit(): void {
    const content = field.current?.value ?? '';
    if (!field.current || content.trim() === '' || properties.isReadOnly) return;
    if (byteLength(content) > maxBytes) {
      announce(t.tooLong(kilobytes(byteLength(content)), kilobytes(maxBytes)), 'assertive');
      return;
    }
    // In the same task: a second click or Enter finds an empty field.
    field.current.value = '';
    setRefused(null);
    onSubmit(content);
    writeDraft(draftId, { text: '', caret: 0 });
    noteInput();
    announce(t.announceSent);
    field.current.focus();
  }

  function onKeyDown(event: KeyboardEvent<HTMLTextAreaElement>): void {
    // Enter that confirms a candidate of an input method; Safari sends it late, as key 229.
    if (event.nativeEvent.isComposing || event.keyCode === 229) return;
    if (event.key === 'Enter' && sends(event, enterSends)) {
      event.preventDefault();
      submit();
    } else if (event.key === 'Escape' && isAnswering) {
      const now = Date.now();
      if (now - escapedAt.current < STOP_TWICE_MS) onStop();
      escapedAt.current = now;
    } else if (event.key === 'ArrowUp' && event.currentTarget.value === '') {
      event.preventDefault();
      properties.onEditLast();
    }
  }

  function onPaste(event: ClipboardEvent<HTMLTextAreaElement>): void {
    if (properties.isReadOnly) return;
    const text = event.clipboardData.getData('text/plain');
    const size = text.length > maxBytes / 4 ? byteLength(text) : 0;
    setRefused(size > maxBytes ? size : null);
    if (size > maxBytes) {
      // Inserting it would hold the browser up, only for Send to refuse it.
      event.preventDefault();
      announce(t.tooLong(kilobytes(size), kilobytes(maxBytes)), 'assertive');
      return;
    }
    if (text.length > FOLDED) setPasted({ lines: text.split('\n').length, isFolded: true });
    if (text.length > LONG) {
      // The browser's own way takes seconds for thousands of lines.
      event.preventDefault();
      const element = event.currentTarget;
      element.toggleAttribute('data-long', true);
      element.setRangeText(text, element.selectionStart, element.selectionEnd, 'end');
      noteInput();
    }
  }

  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <div className="field">
        <textarea
          id="composer"
          ref={field}
          data-region
          rows={1}
          className={pasted?.isFolded && !isEmpty ? 'folded' : undefined}
          dir="auto"
          aria-label={t.writeTo(name)}
          aria-describedby="composer-hint"
          aria-invalid={isTooLong}
          placeholder={t.writeTo(name)}
          readOnly={properties.isReadOnly}
          onChange={() => {
            setRefused(null);
            noteInput();
          }}
          onSelect={noteInput}
          onKeyDown={onKeyDown}
          onPaste={onPaste}
        />
        {isAnswering && isEmpty ? (
          <button
            type="button"
            className="round-button stop"
            aria-label={isStopping ? t.stopping : t.stop}
            title={isStopping ? t.stopping : t.stop}
            aria-disabled={isStopping}
            onClick={onStop}
          >
            <Icon name="stop" />
          </button>
        ) : (
          <button
            type="submit"
            className="round-button"
            aria-label={t.send}
            title={t.send}
            aria-disabled={isEmpty || isTooLong || properties.isReadOnly}
          >
            <Icon name="send" />
          </button>
        )}
      </div>
      {pasted && !isEmpty && (
        <button
          type="button"
          className="text-button fold"
          onClick={() => setPasted({ ...pasted, isFolded: !pasted.isFolded })}
        >
          {pasted.isFolded ? t.showAll(pasted.lines) : t.showLess}
        </button>
      )}
      <p id="composer-hint" className={isTooLong || refused ? 'hint danger' : 'hint'}>
        {isTooLong || refused
          ? t.tooLong(kilobytes(refused ?? bytes), kilobytes(maxBytes))
          : bytes > SHOW_BYTES
            ? t.bytesOf(kilobytes(bytes), kilobytes(maxBytes))
            : enterSends
              ? t.sendHint
              : t.sendHintModifier}
      </p>
    </form>
  );
}

function sends(event: KeyboardEvent, enterSends: boolean): boolean {
  if (event.shiftKey || event.altKey) return false;
  if (event.ctrlKey || event.metaKey) return true;
  // On a touch keyboard Enter is the only way to a new line.
  return enterSends && !matchMedia('(pointer: coarse)').matches;
}

/** Keeps the field and the stored draft in step; a reload finds the text and the caret's place. */
function useDraft(draftId: string, field: React.RefObject<HTMLTextAreaElement | null>) {
  const [bytes, setBytes] = useState(0);
  const [isEmpty, setIsEmpty] = useState(true);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);

  useLayoutEffect(() => {
    const element = field.current;
    if (!element) return;
    const measure = (): void => setBytes(byteLength(element.value));
    const show = (): void => {
      const { text, caret } = readDraft(draftId);
      element.value = text;
      element.setSelectionRange(caret, caret);
      setIsEmpty(text.trim() === '');
      measure();
    };
    const save = (): void => {
      clearTimeout(timer.current);
      writeDraft(draftId, { text: element.value, caret: element.selectionEnd });
    };
    show();
    if (matchMedia('(pointer: fine)').matches) element.focus({ preventScroll: true });
    const removeField = addField({ sessionId: draftId, save, show });
    addEventListener('pagehide', save);
    document.addEventListener('visibilitychange', save);
    return () => {
      save();
      // React's own copy of the value outlives the field.
      element.value = '';
      removeField();
      removeEventListener('pagehide', save);
      document.removeEventListener('visibilitychange', save);
    };
  }, [draftId, field]);

  useEffect(() => () => clearTimeout(timer.current), []);

  function noteInput(): void {
    const element = field.current;
    if (!element) return;
    // The height of a long text is not measured: that takes a second for a megabyte.
    element.toggleAttribute('data-long', element.value.length > LONG);
    setIsEmpty(element.value.trim() === '');
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      setBytes(byteLength(element.value));
      writeDraft(draftId, { text: element.value, caret: element.selectionEnd });
    }, SAVE_MS);
  }
  return { bytes, noteInput, isEmpty };
}
