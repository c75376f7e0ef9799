import { useState } from 'react';
import { signOut } from '../account/token';
import { type Language, useLanguage } from '../i18n/language';
import { deleteAllSessions } from '../sessions/queries';
import { exportAll } from '../transfer/requests';
import { Choice } from '../ui/Choice';
import { Dialog } from '../ui/Dialog';
import { codeOf, problemText } from '../ui/problemText';
import { showToast } from '../ui/toast';
import { useRegistry } from './context';
import { currentTheme, setPreferences, setTheme, type Theme, usePreferences } from './preferences';
import { goTo } from './route';

interface Properties {
  user: string;
  onClose: () => void;
  onHelp: () => void;
}

export function Settings({ user, onClose, onHelp }: Properties) {
  const { t, language, setLanguage } = useLanguage();
  const { enterSends, follow } = usePreferences();
  const [theme, chooseTheme] = useState(currentTheme);
  return (
    <Dialog title={t.settings} onClose={onClose}>
      <Choice<Language>
        label={t.language}
        value={language}
        options={[
          ['en', 'English'],
          ['zh-Hans', '简体中文'],
        ]}
        onChange={setLanguage}
      />
      <Choice<Theme>
        label={t.theme}
        value={theme}
        options={[
          ['system', t.themeSystem],
          ['light', t.themeLight],
          ['dark', t.themeDark],
        ]}
        onChange={(next) => {
          setTheme(next);
          chooseTheme(next);
        }}
      />
      <Choice<'sends' | 'breaks'>
        label={t.enterKey}
        value={enterSends ? 'sends' : 'breaks'}
        options={[
          ['sends', t.enterSends],
          ['breaks', t.enterBreaks],
        ]}
        onChange={(value) => setPreferences({ enterSends: value === 'sends' })}
      />
      <Choice<'follow' | 'stay'>
        label={t.scrolling}
        value={follow ? 'follow' : 'stay'}
        options={[
          ['follow', t.follow],
          ['stay', t.stay],
        ]}
        onChange={(value) => setPreferences({ follow: value === 'follow' })}
      />
      <OwnData />
      <p className="account">{t.signedInAs(user)}</p>
      <div className="buttons">
        <button type="button" className="text-button start" onClick={onHelp}>
          {t.shortcuts}
        </button>
        <button type="button" className="button danger" onClick={signOut}>
          {t.signOut}
        </button>
        <button type="button" className="button primary" onClick={onClose}>
          {t.close}
        </button>
      </div>
    </Dialog>
  );
}

/** All conversations: out of here, into here, or away for ever. */
function OwnData() {
  const { t } = useLanguage();
  const registry = useRegistry();
  const [isAsking, setIsAsking] = useState(false);
  const [note, setNote] = useState('');

  async function act(action: () => Promise<string>): Promise<void> {
    setNote(t.loading);
    try {
      setNote(await action());
    } catch (error) {
      setNote(problemText(codeOf(error), t));
    }
  }
  const exportFile = () =>
    act(async () => {
      await exportAll();
      return '';
    });
  const deleteAll = () =>
    act(async () => {
      setIsAsking(false);
      const held = await deleteAllSessions();
      registry.forgetAll(held > 0 ? 'some' : 'all');
      goTo('/');
      showToast({ text: held > 0 ? t.allDeletedBut(held) : t.allDeleted });
      return '';
    });
  return (
    <fieldset className="choice">
      <legend>{t.ownData}</legend>
      {isAsking ? (
        <>
          <p>{t.deleteAllBody}</p>
          <div className="buttons">
            <button type="button" className="button" onClick={() => setIsAsking(false)}>
              {t.cancel}
            </button>
            <button
              type="button"
              className="button primary danger"
              onClick={() => void deleteAll()}
            >
              {t.deleteAll}
            </button>
          </div>
        </>
      ) : (
        <div className="own-data">
          <button type="button" className="button" onClick={() => void exportFile()}>
            {t.exportAll}
          </button>
          <button type="button" className="button" onClick={() => goTo('/import')}>
            {t.importStart}…
          </button>
          <button type="button" className="button danger" onClick={() => setIsAsking(true)}>
            {t.deleteAll}…
          </button>
        </div>
      )}
      <p role="status">{note}</p>
    </fieldset>
  );
}
