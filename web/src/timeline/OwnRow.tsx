import { memo, useId, useState } from 'react';
import { useText } from '../i18n/language';
import type { SessionController } from '../turns/sessionController';
import type { Message } from '../turns/turnEvents';
import { CopyButton } from '../ui/CopyButton';
import { Icon } from '../ui/icons';
import { BranchPicker } from './BranchPicker';
import { EditField } from './EditField';
import { Heading } from './Heading';
import { submitEdit } from './requests';
import type { Branches } from './rows';

interface Properties {
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
      data-row
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
          <div className="own-text" dir="auto">
            {message.content}
          </div>
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
