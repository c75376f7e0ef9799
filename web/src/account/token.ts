/** The development token: in localStorage, so that every tab of this browser is signed in. */

const KEY = 'parley.token';
/** Survive signing out; everything else under `parley.` is erased. */
const PREFERENCES = new Set(['parley.theme', 'parley.language', 'parley.preferences']);

declare global {
  interface Window {
    /** Set by boot.js where storage is blocked. */
    parleyToken?: string | undefined;
  }
}

export interface Account {
  readonly token: string | null;
  readonly user: string;
  readonly reason: 'none' | 'rejected' | 'expired' | 'signed-out';
}

let account = read();
const listeners = new Set<() => void>();

export function currentAccount(): Account {
  return account;
}

export function subscribeToAccount(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function signIn(token: string): void {
  store(token.trim());
  update(read());
}

export function signOut(): void {
  eraseContent();
  update({ token: null, user: '', reason: 'signed-out' });
}

/** The gateway rejected this token. A newer one, which another tab stored, is kept. */
export function rejectToken(token: string): void {
  if (account.token !== token) return;
  const stored = read();
  if (stored.token && stored.token !== token) update(stored);
  else {
    const isOver = (claimsOf(token)?.exp ?? 0) * 1000 < Date.now();
    update({ token: null, user: account.user, reason: isOver ? 'expired' : 'rejected' });
  }
}

function read(): Account {
  const token = stored();
  if (!token) return { token: null, user: '', reason: 'none' };
  const claims = claimsOf(token);
  if (!claims) return { token: null, user: '', reason: 'rejected' };
  // Whether it has expired is the server's to say: the clock of this device may be wrong.
  return { token, user: claims.sub, reason: 'none' };
}

function stored(): string | null {
  try {
    return localStorage.getItem(KEY) ?? window.parleyToken ?? null;
  } catch {
    return window.parleyToken ?? null;
  }
}

function store(token: string): void {
  window.parleyToken = token;
  try {
    localStorage.setItem(KEY, token);
  } catch {
    // Storage is blocked: this tab alone is signed in.
  }
}

function eraseContent(): void {
  window.parleyToken = undefined;
  try {
    for (const key of Object.keys(localStorage)) {
      if (key.startsWith('parley.') && !PREFERENCES.has(key)) localStorage.removeItem(key);
    }
  } catch {
    // Storage is blocked: nothing was stored.
  }
}

function claimsOf(token: string): { sub: string; exp: number } | null {
  try {
    const payload = token.split('.')[1] ?? '';
    const bytes = Uint8Array.from(atob(payload.replace(/-/g, '+').replace(/_/g, '/')), (each) =>
      each.charCodeAt(0),
    );
    const claims = JSON.parse(new TextDecoder().decode(bytes)) as { sub: string; exp: number };
    return typeof claims.sub === 'string' && typeof claims.exp === 'number' ? claims : null;
  } catch {
    return null;
  }
}

function update(next: Account): void {
  account = next;
  for (const listener of listeners) listener();
}

addEventListener('storage', (event) => {
  if (event.key === KEY || event.key === null) {
    if (event.newValue === null) update({ token: null, user: '', reason: 'signed-out' });
    else update(read());
  }
});
