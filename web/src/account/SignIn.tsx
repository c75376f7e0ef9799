import { type FormEvent, useState } from 'react';
import { useText } from '../i18n/language';
import { type Account, signIn } from './token';

const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]*$/;

export function SignIn({ account }: { account: Account }) {
  const t = useText();
  const [isBad, setIsBad] = useState(false);
  const text = {
    none: t.signInNone,
    rejected: t.signInRejected,
    expired: t.signInExpired,
    'signed-out': t.signedOut,
  }[account.reason];
  function submit(event: FormEvent<HTMLFormElement>): void {
    event.preventDefault();
    const token = String(new FormData(event.currentTarget).get('token')).trim();
    const isToken = TOKEN.test(token);
    setIsBad(!isToken);
    if (isToken) signIn(token);
  }
  return (
    <main className="sign-in">
      <form onSubmit={submit}>
        <img src="/favicon.svg" alt="" width="48" height="48" />
        <h1>{t.signInTitle}</h1>
        <p>{withCode(text)}</p>
        <label htmlFor="token">{t.token}</label>
        <input
          id="token"
          name="token"
          type="password"
          autoComplete="off"
          spellCheck={false}
          required
          aria-invalid={isBad}
          aria-describedby={isBad ? 'token-error' : undefined}
        />
        {isBad && (
          <p id="token-error" className="danger" role="alert">
            {t.badToken}
          </p>
        )}
        <button type="submit" className="button primary">
          {t.signIn}
        </button>
      </form>
    </main>
  );
}

/** Text between backticks is code. */
function withCode(text: string) {
  // biome-ignore lint/suspicious/noArrayIndexKey: the parts of a constant text.
  return text.split('`').map((part, index) => (index % 2 ? <code key={index}>{part}</code> : part));
}
