import { memo, useId, useMemo, useState } from 'react';
import { useText } from '../i18n/language';
import type { SessionController } from '../turns/sessionController';
import type { Message } from '../turns/turnEvents';
import { CopyButton } from '../ui/CopyButton';
import { Icon } from '../ui/icons';
import { BranchPicker } from './BranchPicker';
import { EditField } from './EditField';
import { Heading } from './Heading';
import { submitEdit } from './requests';
import type { Branches, Place } from './rows';

interface Properties extends Place {
  message: Message;
  branches: Branches | null;
  isLast: boolean;
  isBusy: boolean;
  isTurnStart: boolean;
  controller: SessionController;
}

export const OwnRow = memo(function OwnRow(properties: Properties) {
  const { message, branches, isLast, isBusy, isTurnStart, controller } = properties;
  const t = useText();
  const id = useId();
  const [isEditing, setIsEditing] = useState(false);
  return (
    <article
      className="message own"
      aria-labelledby={id}
      aria-posinset={properties.position}
      aria-setsize={properties.setSize}
      data-row
      tabIndex={-1}
      data-message={message.id}
      data-turn-start={isTurnStart ? '' : undefined}
    >
      <Heading id={id} author={t.you} at={message.created_at} />
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
        <div className="body">
          <OwnText text={message.content} />
        </div>
      )}
      <footer className={isLast ? 'actions shown' : 'actions'}>
        {branches && (
          <BranchPicker
            branches={branches}
            onSelect={(leaf) => controller.dispatch({ type: 'leaf-selected', leaf })}
          />
        )}
        <CopyButton label={t.copy} text={() => message.content} />
        {!isBusy && !isEditing && (
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
      </footer>
    </article>
  );
});

// A wall of text, such as a log that was pasted, is shown in part.
const SHOWN_LINES = 12;
const SHOWN_CHARACTERS = 3_000;

function OwnText({ text }: { text: string }) {
  const t = useText();
  const [isWhole, setIsWhole] = useState(false);
  const lines = useMemo(() => text.split('\n'), [text]);
  const isLong = lines.length > 2 * SHOWN_LINES || text.length > 2 * SHOWN_CHARACTERS;
  const shown =
    isLong && !isWhole ? lines.slice(0, SHOWN_LINES).join('\n').slice(0, SHOWN_CHARACTERS) : text;
  return (
    <>
      <div className={isLong && !isWhole ? 'own-text part' : 'own-text'} dir="auto">
        {shown}
      </div>
      {isLong && (
        <button type="button" className="text-button" onClick={() => setIsWhole(!isWhole)}>
          {isWhole ? t.showLess : t.showAll(lines.length)}
        </button>
      )}
    </>
  );
}
