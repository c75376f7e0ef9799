import type { ReactNode } from 'react';
import { useText } from '../i18n/language';
import { safeLink } from './links';

export function Link({ url, children }: { url: string; children: ReactNode }) {
  const safe = safeLink(url);
  if (!safe) return <>{children}</>;
  return (
    <a href={safe.href} title={safe.host} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  );
}

/** A remote image could carry text of the conversation out in its address: none is loaded. */
export function ImageLink({ url, alt }: { url: string; alt: string }) {
  const t = useText();
  const safe = safeLink(url);
  if (!safe) return <>{alt}</>;
  return (
    <a className="image-link" href={safe.href} target="_blank" rel="noopener noreferrer nofollow">
      {alt ? `${alt} (${safe.host})` : t.imageAt(safe.host)}
    </a>
  );
}
