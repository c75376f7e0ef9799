import { memo, useId, useRef } from 'react';
import { useText } from '../i18n/language';
import { useTimes } from '../i18n/times';
import { Markdown } from '../markdown/Markdown';
import { MarkdownBoundary } from '../markdown/MarkdownBoundary';
import type { SessionController } from '../turns/sessionController';
import type { OpenTurn } from '../turns/sessionState';
import type { ApiError, Message } from '../turns/turnEvents';
import { CopyButton } from '../ui/CopyButton';
import { Icon } from '../ui/icons';
import { problemText } from '../ui/problemText';
import { BranchPicker } from './BranchPicker';
import { Heading } from './Heading';
import { Connection, Progress, Thinking } from './RunningParts';
import { regenerate } from './requests';
import type { Branches, Place } from './rows';

export interface ReplyRowProperties extends Place {
  id: string;
  /** null while the reply is running. */
  message: Message | null;
  open: OpenTurn | null;
  branches: Branches | null;
  name: string;
  failure: ApiError | null;
  isLast: boolean;
  isBusy: boolean;
  controller: SessionController;
}

/**
 * A reply, running or stored: the same elements, so that its end changes neither what is selected
 * nor what is in view.
 */
export const ReplyRow = memo(function ReplyRow(properties: ReplyRowProperties) {
  const { id, message, open, branches, name, isLast, controller } = properties;
  const t = useText();
  const headingId = useId();
  const body = useRef<HTMLDivElement>(null);
  const isRunning = message === null;
  const text = message?.content ?? open?.reply.text ?? '';
  const at = message?.created_at ?? new Date(open?.startedAt ?? 0).toISOString();
  return (
    <article
      className={isRunning ? 'message reply running' : 'message reply'}
      aria-labelledby={headingId}
      aria-busy={isRunning}
      aria-posinset={properties.position}
      aria-setsize={properties.setSize}
      data-row
      tabIndex={-1}
      data-message={id}
    >
      <Heading id={headingId} author={message?.role === 'system' ? t.system : name} at={at} />
      <div className="body" ref={body}>
        <MarkdownBoundary text={text}>
          <Markdown text={text} id={id} isStreaming={isRunning} />
        </MarkdownBoundary>
        {open && text === '' && <Thinking since={open.startedAt} />}
      </div>
      {open && <Connection open={open} />}
      {open && <Progress text={text} />}
      {message && <Status {...properties} message={message} />}
      <footer className={isLast || isRunning ? 'actions shown' : 'actions'}>
        {branches && (
          <BranchPicker
            branches={branches}
            onSelect={(leaf) => controller.dispatch({ type: 'leaf-selected', leaf })}
          />
        )}
        {message && (
          <>
            <CopyButton
              label={t.copy}
              text={() => message.content}
              html={() => (body.current ? copiedHtml(body.current) : '')}
            />
            {!properties.isBusy && message.parent_message_id && (
              <button
                type="button"
                className="icon-button small"
                aria-label={t.regenerate}
                title={t.regenerate}
                onClick={() => regenerate(controller, message)}
              >
                <Icon name="again" />
              </button>
            )}
            <Details message={message} />
          </>
        )}
      </footer>
    </article>
  );
});

/** Without the page's own buttons and colours, which mean nothing elsewhere. */
function copiedHtml(body: HTMLElement): string {
  const copy = body.cloneNode(true) as HTMLElement;
  for (const button of copy.querySelectorAll('button')) button.remove();
  for (const styled of copy.querySelectorAll('[style]')) styled.removeAttribute('style');
  return copy.innerHTML;
}

type StatusProperties = ReplyRowProperties & { message: Message };

function Status({ message, failure, isBusy, controller }: StatusProperties) {
  const t = useText();
  if (message.status === 'completed') return null;
  const isFailed = message.status === 'failed';
  return (
    <p className={isFailed ? 'status danger' : 'status'}>
      <Icon name={isFailed ? 'warning' : 'stop'} />
      <span>
        {isFailed ? t.failed : t.stopped}
        {isFailed && <> · {problemText(failure?.code ?? 'upstream_', t)}</>}
      </span>
      {isFailed && !isBusy && (
        <button
          type="button"
          className="text-button"
          onClick={() => regenerate(controller, message)}
        >
          {t.regenerate}
        </button>
      )}
    </p>
  );
}

function Details({ message }: { message: Message }) {
  const t = useText();
  const times = useTimes();
  const { usage, model, id } = message;
  return (
    <details className="details">
      <summary>{t.details}</summary>
      <dl>
        {model && (
          <>
            <dt>{t.model}</dt>
            <dd>{model}</dd>
          </>
        )}
        {usage && (
          <>
            <dt>{t.tokens}</dt>
            <dd>
              {t.tokensOf(usage.prompt_tokens, usage.completion_tokens)}
              {usage.estimated && ` (${t.estimated})`}
            </dd>
          </>
        )}
        <dt>{t.time}</dt>
        <dd>{times.exact(new Date(message.created_at))}</dd>
        <dt>{t.messageId}</dt>
        <dd>
          <code>{id}</code>
        </dd>
      </dl>
    </details>
  );
}
