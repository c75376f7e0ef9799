import { useState } from 'react';
import { signOut } from '../account/token';
import { type Language, useLanguage } from '../i18n/language';
import { Dialog } from '../ui/Dialog';
import { currentTheme, setPreferences, setTheme, type Theme, usePreferences } from './preferences';

export function Settings({ user, onClose }: { user: string; onClose: () => void }) {
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
      <p className="account">{t.signedInAs(user)}</p>
      <div className="buttons">
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

interface ChoiceProperties<Value extends string> {
  label: string;
  value: Value;
  options: ReadonlyArray<readonly [Value, string]>;
  onChange: (value: Value) => void;
}

function Choice<Value extends string>(properties: ChoiceProperties<Value>) {
  const { label, value, options, onChange } = properties;
  return (
    <fieldset className="choice">
      <legend>{label}</legend>
      <div className="segments">
        {options.map(([option, text]) => (
          <label key={option} lang={option === 'zh-Hans' ? 'zh-Hans' : undefined}>
            <input
              type="radio"
              name={label}
              value={option}
              checked={option === value}
              onChange={() => onChange(option)}
            />
            <span>{text}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
