import fc from 'fast-check';
import { expect, test } from 'vitest';
import { anyText, cutsOf } from '../turns/testing/texts';
import type { TurnEvent } from '../turns/turnEvents';
import { readTurnEvents } from './turnStream';

test('events are the same wherever the network cuts the bytes', async () => {
  await fc.assert(
    fc.asyncProperty(
      anyText,
      fc.array(fc.nat(), { maxLength: 40 }),
      fc.constantFrom('\n', '\r\n'),
      async (text, seeds, newline) => {
        const cuts = cutsOf(text, seeds);
        const stream = cuts
          .map(({ delta, place }) => {
            const data = JSON.stringify({ type: 'reply.delta', sequence_number: place, delta });
            return [': heartbeat', '', `data: ${data}`, `id: ${place}`, '', ''].join(newline);
          })
          .join('');
        const received = await read(chunksOf(new TextEncoder().encode(stream), seeds));
        expect(received).toEqual(
          cuts.map(({ delta, place }) => ({
            type: 'reply.delta',
            sequence_number: place,
            delta,
          })),
        );
      },
    ),
    { numRuns: 150 },
  );
});

test('an event that is cut off is not delivered', async () => {
  const bytes = new TextEncoder().encode('data: {"type":"reply.delta","sequence_number":1,');
  expect(await read([bytes])).toEqual([]);
});

test('unknown types, fields and malformed data change nothing', async () => {
  const stream = [
    'data: {"type":"reply.mood","sequence_number":7}\n\n',
    'data: {"type":"reply.delta","sequence_number":1,"delta":"a","part":0,"new":[1]}\n\n',
    'data: {"type":"reply.part","sequence_number":9,"delta":{"x":1}}\n\n',
    'data: not json\n\n',
    'event: other\ndata: []\n\n',
  ].join('');
  const events = await read([new TextEncoder().encode(stream)]);
  expect(events.map(({ type }) => type)).toEqual([
    'unknown',
    'reply.delta',
    'unknown',
    'unknown',
    'unknown',
  ]);
  expect(events[0]).toEqual({ type: 'unknown', sequence_number: 7 });
  expect(events[2]).toEqual({ type: 'unknown', sequence_number: null });
});

async function read(chunks: Uint8Array[]): Promise<TurnEvent[]> {
  const events: TurnEvent[] = [];
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  await readTurnEvents(new Response(body), (event) => events.push(event));
  return events;
}

function chunksOf(bytes: Uint8Array, seeds: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0, index = 0; at < bytes.length; index++) {
    const end = at + 1 + ((seeds[index % Math.max(seeds.length, 1)] ?? 5) % 23);
    chunks.push(bytes.slice(at, end));
    at = end;
  }
  return chunks;
}
