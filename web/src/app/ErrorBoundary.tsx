import { Component, type ReactNode } from 'react';
import { type Dictionary, en } from '../i18n/en';
import { loadLanguage, preferredLanguage } from '../i18n/language';

interface State {
  t: Dictionary | null;
}

/** A defect of the page shows what to do instead of nothing; drafts and outbox are stored. */
export class ErrorBoundary extends Component<{ children: ReactNode }, State> {
  override state: State = { t: null };

  static getDerivedStateFromError(): State {
    return { t: en };
  }

  override componentDidCatch(): void {
    loadLanguage(preferredLanguage()).then(
      (t) => this.setState({ t }),
      () => undefined,
    );
  }

  override render(): ReactNode {
    const { t } = this.state;
    if (!t) return this.props.children;
    return (
      <main className="sign-in">
        <form>
          <h1>{t.brokenTitle}</h1>
          <p role="alert">{t.brokenBody}</p>
          <button type="button" className="button primary" onClick={() => location.assign('/')}>
            {t.reload}
          </button>
        </form>
      </main>
    );
  }
}
