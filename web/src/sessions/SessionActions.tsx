/** The menu of a session: rename, archive, delete with undo. */
import { useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { useRegistry } from '../app/context';
import { goTo, sessionPath } from '../app/route';
import { useText } from '../i18n/language';
import { useTimes } from '../i18n/times';
import { type ExportFormat, exportSession } from '../transfer/requests';
import type { SessionController } from '../turns/sessionController';
import type { Session } from '../turns/turnEvents';
import { Dialog } from '../ui/Dialog';
import { Menu } from '../ui/Menu';
import { codeOf, problemText } from '../ui/problemText';
import { showToast } from '../ui/toast';
import {
  changeSession,
  deleteSession,
  forkSession,
  invalidateSessions,
  restoreSession,
  useAssistants,
} from './queries';

interface Properties {
  session: Session;
  controller: SessionController;
}

export function SessionActions({ session, controller }: Properties) {
  const t = useText();
  const times = useTimes();
  const client = useQueryClient();
  const registry = useRegistry();
  const { data: assistants = [] } = useAssistants();
  const undelete =
    assistants.find((each) => each.id === session.assistant_id)?.undelete_seconds ?? 0;
  const [dialog, setDialog] = useState<'rename' | 'delete' | null>(null);

  async function act(action: () => Promise<void>): Promise<void> {
    try {
      await action();
      invalidateSessions(client);
    } catch (error) {
      showToast({ text: problemText(codeOf(error), t) });
    }
  }

  const change = (changes: Parameters<typeof changeSession>[1]) =>
    act(async () => {
      const changed = await changeSession(session.id, changes);
      controller.dispatch({ type: 'session-changed', session: changed });
    });

  const copy = () =>
    act(async () => {
      const { leaf, messages } = controller.snapshot();
      // While a reply runs, what leads to it.
      const { id } = await forkSession(session.id, leaf && messages.has(leaf) ? leaf : null);
      goTo(sessionPath(id));
    });

  const save = (format: ExportFormat) => act(() => exportSession(session.id, format));

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
          { label: t.fork, icon: 'fork', onSelect: () => void copy() },
          { label: t.exportMarkdown, icon: 'download', onSelect: () => void save('markdown') },
          { label: t.exportJson, icon: 'download', onSelect: () => void save('json') },
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
          <p>{undelete > 0 ? t.deleteBodyFor(times.duration(undelete)) : t.deleteBody}</p>
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
