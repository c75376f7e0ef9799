/** Messages between the tabs of this browser: ids and versions, never text. */

export type Broadcast =
  | { session: string; version: number }
  | { gone: string }
  /** All sessions were erased, or some: all but those under a legal hold. */
  | { erased: 'all' | 'some' }
  /** A tab needs one of the browser's six connections to the server. */
  | { streams: true };

const channel = typeof BroadcastChannel === 'function' ? new BroadcastChannel('parley') : null;

export function broadcast(message: Broadcast): void {
  channel?.postMessage(message);
}

export function onBroadcast(listener: (message: Broadcast) => void): () => void {
  const receive = (event: MessageEvent<Broadcast>): void => listener(event.data);
  channel?.addEventListener('message', receive);
  return () => channel?.removeEventListener('message', receive);
}
