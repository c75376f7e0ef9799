/** What a running reply shows beside its text. */
import { useEffect, useState } from 'react';
import { useText } from '../i18n/language';
import type { OpenTurn } from '../turns/sessionState';
import { announce } from '../ui/liveRegion';

const STILL_MS = 3_000;
const STILL_SECONDS_MS = 15_000;
const SHOW_LOST_MS = 2_000;
const LOST_LONG_MS = 30_000;
const ANNOUNCE_MS = 10_000;

export function Thinking({ since }: { since: number }) {
  const t = useText();
  const waited = useElapsed(since);
  const seconds = Math.floor(waited / 1000);
  return (
    <p className="thinking">
      <span className="dots" aria-hidden="true">
        <i />
        <i />
        <i />
      </span>
      {waited < STILL_MS
        ? t.thinking
        : waited < STILL_SECONDS_MS
          ? t.stillThinking
          : t.stillThinkingFor(seconds)}
    </p>
  );
}

export function Connection({ open }: { open: OpenTurn }) {
  const t = useText();
  const waited = useElapsed(open.lostAt ?? Number.POSITIVE_INFINITY);
  if (open.stop !== 'no') return <p className="status">{t.stopping}</p>;
  if (open.lostAt === null || waited < SHOW_LOST_MS) return null;
  return <p className="status">{waited < LOST_LONG_MS ? t.reconnecting : t.connectionLost}</p>;
}

/** Says once in a while that a long reply still grows; not every token. */
export function Progress({ text }: { text: string }) {
  const t = useText();
  const [spokenAt, setSpokenAt] = useState(() => Date.now());
  const isDue = text !== '' && Date.now() - spokenAt >= ANNOUNCE_MS;
  useEffect(() => {
    if (!isDue) return;
    announce(t.announceStill(wordCount(text)));
    setSpokenAt(Date.now());
  }, [isDue, t, text]);
  return null;
}

/** Words, or characters where a language has no spaces. */
export function wordCount(text: string): number {
  const han = text.match(/\p{Script=Han}/gu)?.length ?? 0;
  return han + (text.replace(/\p{Script=Han}/gu, ' ').match(/\S+/g)?.length ?? 0);
}

function useElapsed(since: number): number {
  const [now, setNow] = useState(() => Date.now());
  const isTicking = Number.isFinite(since);
  useEffect(() => {
    if (!isTicking) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [isTicking]);
  return isTicking ? now - since : 0;
}
