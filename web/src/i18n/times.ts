/** Times and days in the language of the page and the time zone of the browser. */
import { useEffect, useMemo, useState } from 'react';
import type { Dictionary } from './en';
import { type Language, useLanguage } from './language';

const LOCALES: Record<Language, string> = { en: 'en-GB', 'zh-Hans': 'zh-CN' };

export interface Times {
  time(date: Date): string;
  /** Today, Yesterday, a weekday with its date, or a date with its year. */
  day(date: Date): string;
  month(date: Date): string;
  exact(date: Date): string;
  number(value: number): string;
  money(value: number, currency: string): string;
  /** In days, hours or minutes. */
  duration(seconds: number): string;
}

export function useTimes(): Times {
  const { t, language } = useLanguage();
  const today = useToday();
  return useMemo(() => timesIn(language, t, today), [language, t, today]);
}

export function timesIn(language: Language, t: Dictionary, today: number): Times {
  const locale = LOCALES[language];
  const format = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(locale, options);
  const time = format({ hour: '2-digit', minute: '2-digit', hour12: false });
  const thisYear = format({ weekday: 'long', day: 'numeric', month: 'long' });
  const otherYear = format({ day: 'numeric', month: 'long', year: 'numeric' });
  const month = format({ month: 'long', year: 'numeric' });
  const exact = format({ dateStyle: 'full', timeStyle: 'medium' });
  const number = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
  const year = new Date(today).getFullYear();
  return {
    time: (date) => time.format(date),
    day(date) {
      const age = Math.round((today - startOfDay(date)) / 86_400_000);
      if (age === 0) return t.today;
      if (age === 1) return t.yesterday;
      return (date.getFullYear() === year ? thisYear : otherYear).format(date);
    },
    month: (date) => month.format(date),
    exact: (date) => exact.format(date),
    number: (value) => number.format(value),
    duration(seconds) {
      const [unit, count] =
        seconds > 172_800
          ? (['day', seconds / 86_400] as const)
          : seconds > 5_400
            ? (['hour', seconds / 3_600] as const)
            : (['minute', Math.round(seconds / 60)] as const);
      const options = {
        style: 'unit',
        unit,
        unitDisplay: 'long',
        maximumFractionDigits: 1,
      } as const;
      return new Intl.NumberFormat(locale, options).format(count);
    },
    money: (value, currency) =>
      new Intl.NumberFormat(locale, {
        style: 'currency',
        currency,
        maximumFractionDigits: value < 1 ? 4 : 2,
      }).format(value),
  };
}

/** Midnight in the browser's time zone, in Unix milliseconds. */
export function startOfDay(date: Date): number {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

/** The start of the current day: it changes at midnight while the page is open. */
export function useToday(): number {
  const [today, setToday] = useState(() => startOfDay(new Date()));
  useEffect(() => {
    const update = () => setToday(startOfDay(new Date()));
    const next = new Date(today);
    next.setDate(next.getDate() + 1);
    const timer = setTimeout(update, next.getTime() - Date.now() + 500);
    document.addEventListener('visibilitychange', update);
    return () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', update);
    };
  }, [today]);
  return today;
}
