import { useText } from '../i18n/language';
import type { Sending } from '../turns/sessionState';
import { Icon } from '../ui/icons';

export function SendingRow({ sending }: { sending: Sending }) {
  const t = useText();
  if (sending.regenerates !== undefined && sending.state !== 'unknown') return null;
  const state = {
    queued: t.queued,
    posting: t.pending,
    unknown: t.retrying,
    'signed-out': t.signIn,
  };
  return (
    <article className="message own pending" data-row data-sending={sending.key} data-turn-start="">
      <header>
        <h2>{t.you}</h2>
        <span className="pending-state">
          <Icon name="clock" />
          {state[sending.state]}
        </span>
      </header>
      {sending.content && (
        <div className="body">
          <div className="own-text" dir="auto">
            {sending.content}
          </div>
        </div>
      )}
    </article>
  );
}
