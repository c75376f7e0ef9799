/** The menu of a session: rename, archive, delete with undo. */
import { useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { Problem } from '../api/problem';
import { useRegistry } from '../app/context';
import { goTo, sessionPath } from '../app/route';
import { useText } from '../i18n/language';
import { useTimes } from '../i18n/times';
import type { SessionController } from '../turns/sessionController';
import type { Session } from '../turns/turnEvents';
import { Dialog } from '../ui/Dialog';
import { Menu } from '../ui/Menu';
import { problemText } from '../ui/problemText';
import { showToast } from '../ui/toast';
import { changeSession, deleteSession, invalidateSessions, restoreSession } from './queries';

interface Properties {
  session: Session;
  controller: SessionController;
}

export function SessionActions({ session, controller }: Properties) {
  const t = useText();
  const times = useTimes();
  const client = useQueryClient();
  const registry = useRegistry();
  const [dialog, setDialog] = useState<'rename' | 'delete' | null>(null);

  async function act(action: () => Promise<void>): Promise<void> {
    try {
      await action();
      invalidateSessions(client);
    } catch (error) {
      const code = error instanceof Problem ? error.code : 'network';
      showToast({ text: problemText(code, t) });
    }
  }

  const change = (changes: Parameters<typeof changeSession>[1]) =>
    act(async () => {
      const changed = await changeSession(session.id, changes);
      controller.dispatch({ type: 'session-changed', session: changed });
    });

  const remove = () =>
    act(async () => {
      const { erase_at } = await deleteSession(session.id);
      goTo('/');
      registry.forget(session.id);
      if (erase_at === null) showToast({ text: t.deleted });
      else {
        const until = times.exact(new Date(erase_at));
        const undo = () =>
          act(async () => {
            await restoreSession(session.id);
            goTo(sessionPath(session.id));
          });
        showToast({
          text: t.deletedUntil(until),
          action: { label: t.undo, run: () => void undo() },
        });
      }
    });

  return (
    <>
      <Menu
        label={t.more}
        items={[
          { label: t.rename, icon: 'edit', onSelect: () => setDialog('rename') },
          {
            label: session.archived ? t.unarchive : t.archive,
            icon: 'archive',
            onSelect: () => void change({ archived: !session.archived }),
          },
          {
            label: t.remove,
            icon: 'trash',
            isDanger: true,
            reasonDisabled: session.legal_hold ? t.legalHold : undefined,
            onSelect: () => setDialog('delete'),
          },
        ]}
      />
      {dialog === 'rename' && (
        <RenameDialog
          title={session.title ?? ''}
          onClose={() => setDialog(null)}
          onSave={(title) => void change({ title: title || null })}
        />
      )}
      {dialog === 'delete' && (
        <Dialog title={t.deleteTitle} onClose={() => setDialog(null)}>
          <p>{t.deleteBody}</p>
          <div className="buttons">
            <button type="button" className="button" onClick={() => setDialog(null)}>
              {t.cancel}
            </button>
            <button
              type="button"
              className="button primary danger"
              onClick={() => {
                setDialog(null);
                void remove();
              }}
            >
              {t.remove}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}

interface RenameProperties {
  title: string;
  onClose: () => void;
  onSave: (title: string) => void;
}

function RenameDialog({ title, onClose, onSave }: RenameProperties) {
  const t = useText();
  function submit(event: FormEvent<HTMLFormElement>): void {
    event.preventDefault();
    onSave(String(new FormData(event.currentTarget).get('title')).trim());
    onClose();
  }
  return (
    <Dialog title={t.renameTitle} onClose={onClose}>
      <form onSubmit={submit}>
        <label htmlFor="title">{t.titleLabel}</label>
        <input id="title" name="title" defaultValue={title} maxLength={200} dir="auto" />
        <div className="buttons">
          <button type="button" className="button" onClick={onClose}>
            {t.cancel}
          </button>
          <button type="submit" className="button primary">
            {t.save}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
