/** The language of the page: the browser's, or the one that was chosen. */
import { createContext, type ReactNode, useContext, useEffect, useMemo, useState } from 'react';
import { type Dictionary, en } from './en';

export type Language = 'en' | 'zh-Hans';

const KEY = 'parley.language';
const loaded: Partial<Record<Language, Dictionary>> = { en };

interface Translation {
  readonly t: Dictionary;
  readonly language: Language;
  readonly setLanguage: (language: Language) => void;
}

const Context = createContext<Translation>({ t: en, language: 'en', setLanguage: () => undefined });

export function preferredLanguage(): Language {
  return document.documentElement.lang.startsWith('zh') ? 'zh-Hans' : 'en';
}

/** Loads a dictionary; English is part of the page. */
export async function loadLanguage(language: Language): Promise<Dictionary> {
  if (language === 'zh-Hans') loaded[language] ??= (await import('./zhHans')).zhHans;
  return loaded[language] ?? en;
}

export function LanguageProvider({ children }: { children: ReactNode }) {
  const [language, setLanguage] = useState(preferredLanguage);
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  const value = useMemo<Translation>(
    () => ({
      t: loaded[language] ?? en,
      language,
      setLanguage(next) {
        try {
          localStorage.setItem(KEY, next);
        } catch {
          // Storage is blocked: the choice lasts as long as the page.
        }
        void loadLanguage(next).then(() => setLanguage(next));
      },
    }),
    [language],
  );
  return <Context value={value}>{children}</Context>;
}

export function useText(): Dictionary {
  return useContext(Context).t;
}

export function useLanguage(): Translation {
  return useContext(Context);
}
