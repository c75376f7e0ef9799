/** The events of a turn's stream, read with `fetch` so that the token is in a header. */
import { createParser } from 'eventsource-parser';
import { decodeTurnEvent, type TurnEvent } from '../turns/turnEvents';
import { network } from './problem';

// Two and a half heartbeats of 15 s: silence for longer is a broken connection.
const MAX_SILENCE_MS = 40_000;

/** Calls back with each event, until the stream closes. Throws Problem if it breaks. */
export async function readTurnEvents(
  response: Response,
  onEvent: (event: TurnEvent) => void,
): Promise<void> {
  if (!response.body) return;
  const parser = createParser({ onEvent: ({ data }) => onEvent(decodeTurnEvent(data)) });
  // One decoder for the whole response: the network cuts inside characters too.
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let silence = setTimeout(() => undefined, 0);
  try {
    for (;;) {
      clearTimeout(silence);
      silence = setTimeout(() => void reader.cancel(), MAX_SILENCE_MS);
      const { done, value } = await reader.read();
      if (done) return;
      parser.feed(value);
    }
  } catch (error) {
    throw network(error);
  } finally {
    clearTimeout(silence);
    void reader.cancel().catch(() => undefined);
  }
}
