import { useQueryClient } from '@tanstack/react-query';
import { type ChangeEvent, useId, useRef, useState } from 'react';
import { goTo, sessionPath } from '../app/route';
import { useText } from '../i18n/language';
import {
  DEFAULT_MAX_BYTES,
  invalidateSessions,
  useAssistants,
  useConfig,
} from '../sessions/queries';
import { Dialog } from '../ui/Dialog';
import { codeOf, problemText } from '../ui/problemText';
import { type CheckedFile, checkFile } from './importedFile';
import { importSession } from './requests';

// What a browser reads into memory without trouble.
const MAX_FILE_BYTES = 64 * 1024 * 1024;

type Step =
  | { is: 'choose'; refused: string | null }
  | { is: 'checked'; file: CheckedFile; problem: string | null }
  | { is: 'running'; file: CheckedFile; done: number }
  | { is: 'done'; count: number; failed: number; lastId: string | null };

interface Properties {
  /** Of conversations whose own assistant does not exist here. */
  assistantId: string | null;
  onClose: () => void;
}

export function ImportDialog({ assistantId, onClose }: Properties) {
  const t = useText();
  const id = useId();
  const client = useQueryClient();
  const maxBytes = useConfig().data?.max_message_bytes ?? DEFAULT_MAX_BYTES;
  const { data: assistants = [] } = useAssistants();
  const [step, setStep] = useState<Step>({ is: 'choose', refused: null });
  const isClosed = useRef(false);

  async function choose(event: ChangeEvent<HTMLInputElement>): Promise<void> {
    const file = event.target.files?.[0];
    if (!file) return;
    try {
      if (file.size > MAX_FILE_BYTES) throw new SyntaxError('Too large.');
      setStep({ is: 'checked', file: checkFile(await file.text(), maxBytes), problem: null });
    } catch {
      setStep({ is: 'choose', refused: t.importRefused(file.name) });
    }
  }

  async function run(file: CheckedFile): Promise<void> {
    let [done, refused] = [0, 0];
    let lastId: string | null = null;
    setStep({ is: 'running', file, done });
    try {
      for (const session of file.sessions) {
        if (isClosed.current) return;
        const isKnown = assistants.some((each) => each.id === session.assistantId);
        refused += await importSession(
          session,
          isKnown ? session.assistantId : assistantId,
          (count) => {
            done += count;
            setStep({ is: 'running', file, done });
          },
        );
        lastId = session.id;
      }
      setStep({ is: 'done', count: done - refused, failed: file.badCount + refused, lastId });
    } catch (error) {
      setStep({ is: 'checked', file, problem: problemText(codeOf(error), t) });
    } finally {
      invalidateSessions(client);
    }
  }

  const close = (): void => {
    isClosed.current = true;
    onClose();
  };
  return (
    <Dialog title={t.importTitle} onClose={close}>
      {step.is === 'choose' && (
        <>
          <p className="muted">{t.importHint}</p>
          <label htmlFor={id} className="button file">
            {t.importFile}
            <input
              id={id}
              type="file"
              className="visually-hidden"
              accept=".json,application/json"
              onChange={choose}
            />
          </label>
          {step.refused && (
            <p className="danger" role="alert">
              {step.refused}
            </p>
          )}
        </>
      )}
      {step.is === 'checked' && (
        <>
          <p role="status">
            {t.importChecked(step.file.messageCount, step.file.sessions.length)}
            {step.file.badCount > 0 && ` ${t.importLeftOut(step.file.badCount)}`}
          </p>
          {step.problem && (
            <p className="danger" role="alert">
              {step.problem}
            </p>
          )}
        </>
      )}
      {step.is === 'running' && (
        <>
          <p role="status">{t.importRunning}</p>
          <progress max={step.file.messageCount} value={step.done} aria-label={t.importRunning} />
        </>
      )}
      {step.is === 'done' && (
        <p role="status">
          {t.importDone(step.count)}
          {step.failed > 0 && ` ${t.importLeftOut(step.failed)}`}
        </p>
      )}
      <div className="buttons">
        <button type="button" className="button" onClick={close}>
          {step.is === 'done' ? t.close : t.cancel}
        </button>
        {step.is === 'checked' && (
          <button
            type="button"
            className="button primary"
            aria-disabled={step.file.messageCount === 0}
            onClick={() => step.file.messageCount > 0 && void run(step.file)}
          >
            {step.problem ? t.retry : t.importStart}
          </button>
        )}
        {step.is === 'done' && step.lastId && (
          <button
            type="button"
            className="button primary"
            onClick={() => step.lastId && goTo(sessionPath(step.lastId))}
          >
            {t.showNewest}
          </button>
        )}
      </div>
    </Dialog>
  );
}
