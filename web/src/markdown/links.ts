/** Links of a message may leave the page only to the web or to a mail program. */

const PROTOCOLS = new Set(['http:', 'https:', 'mailto:']);

export interface SafeLink {
  readonly href: string;
  /** Punycode stays punycode, so that look-alike names are visible. */
  readonly host: string;
}

export function safeLink(url: string): SafeLink | null {
  try {
    const { protocol, href, host, pathname } = new URL(url);
    if (!PROTOCOLS.has(protocol)) return null;
    return { href, host: host || pathname };
  } catch {
    return null;
  }
}
