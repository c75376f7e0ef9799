import { memo, useId, useRef, useState } from 'react';
import { useText } from '../i18n/language';
import { useTimes } from '../i18n/times';
import { Markdown } from '../markdown/Markdown';
import type { SessionController } from '../turns/sessionController';
import type { ApiError, Message } from '../turns/turnEvents';
import { CopyButton } from '../ui/CopyButton';
import { Icon } from '../ui/icons';
import { problemText } from '../ui/problemText';
import { BranchPicker } from './BranchPicker';
import { EditField } from './EditField';
import type { Branches } from './rows';

export interface MessageRowProperties {
  message: Message;
  branches: Branches | null;
  name: string;
  failure: ApiError | null;
  isLast: boolean;
  isBusy: boolean;
  isTurnStart: boolean;
  controller: SessionController;
}

export const MessageRow = memo(function MessageRow(properties: MessageRowProperties) {
  const { message, branches, name, isTurnStart, controller } = properties;
  const t = useText();
  const id = useId();
  const body = useRef<HTMLDivElement>(null);
  const [isEditing, setIsEditing] = useState(false);
  const isOwn = message.role === 'user';
  const author = isOwn ? t.you : message.role === 'system' ? t.system : name;
  const select = (leaf: string) => controller.dispatch({ type: 'leaf-selected', leaf });
  return (
    <article
      className={`message ${isOwn ? 'own' : 'reply'}`}
      aria-labelledby={id}
      data-row
      data-message={message.id}
      data-turn-start={isTurnStart ? '' : undefined}
    >
      <Heading
        id={id}
        author={author}
        at={message.created_at}
        model={isOwn ? undefined : message.model}
      />
      {isEditing ? (
        <EditField
          text={message.content}
          onCancel={() => setIsEditing(false)}
          onSend={(content) => {
            setIsEditing(false);
            submitEdit(controller, message, content);
          }}
        />
      ) : (
        <div className="body" ref={body}>
          {isOwn ? (
            <div className="own-text" dir="auto">
              {message.content}
            </div>
          ) : (
            <Markdown text={message.content} id={message.id} />
          )}
        </div>
      )}
      {!isOwn && <ReplyStatus {...properties} />}
      <footer className={properties.isLast ? 'actions shown' : 'actions'}>
        {branches && <BranchPicker branches={branches} onSelect={select} />}
        <CopyButton
          label={t.copy}
          text={() => message.content}
          {...(isOwn ? {} : { html: () => body.current?.innerHTML ?? '' })}
        />
        {isOwn && !properties.isBusy && !isEditing && (
          <button
            type="button"
            className="icon-button small"
            aria-label={t.edit}
            title={t.edit}
            data-edit
            onClick={() => setIsEditing(true)}
          >
            <Icon name="edit" />
          </button>
        )}
        {!isOwn && !properties.isBusy && message.parent_message_id && (
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
        {!isOwn && <Details message={message} />}
      </footer>
    </article>
  );
});

interface HeadingProperties {
  id: string;
  author: string;
  at: string;
  model?: string | null | undefined;
}

export function Heading({ id, author, at }: HeadingProperties) {
  const times = useTimes();
  const date = new Date(at);
  return (
    <header id={id}>
      <h2>{author}</h2>
      <time dateTime={at} title={times.exact(date)}>
        {times.time(date)}
      </time>
    </header>
  );
}

function ReplyStatus({ message, failure, isBusy, controller }: MessageRowProperties) {
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
        <dt>{t.messageId}</dt>
        <dd>
          <code>{id}</code>
        </dd>
        <dt className="visually-hidden">{t.details}</dt>
        <dd>{times.exact(new Date(message.created_at))}</dd>
      </dl>
    </details>
  );
}

function submitEdit(controller: SessionController, message: Message, content: string): void {
  controller.dispatch({
    type: 'submitted',
    sending: {
      key: crypto.randomUUID(),
      sessionId: message.session_id,
      content,
      parentId: message.parent_message_id,
      at: Date.now(),
      state: 'queued',
      tries: 0,
      stop: false,
    },
  });
}

function regenerate(controller: SessionController, reply: Message): void {
  if (!reply.parent_message_id) return;
  controller.dispatch({
    type: 'submitted',
    sending: {
      key: crypto.randomUUID(),
      sessionId: reply.session_id,
      content: '',
      regenerates: reply.parent_message_id,
      at: Date.now(),
      state: 'queued',
      tries: 0,
      stop: false,
    },
  });
}
