import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Problem } from '../api/problem';
import { branchOf } from './messageTree';
import { reduceSession } from './reduceSession';
import type { Sending, SessionState } from './sessionState';
import { Simulation } from './testing/simulation';

function reliable(): Simulation {
  let seed = 0;
  return new Simulation(() => seed++);
}

function shown(state: SessionState): string[] {
  return branchOf(state.messages, state.leaf).map((each) => each.content);
}

test('a submitted message is shown, answered and stored', () => {
  const page = ready();
  page.submit('Hello');
  page.settle();
  expect(shown(page.state)).toEqual(['Hello', 'reply to Hello 👍🏽']);
  expect(page.state.mendedJoins).toBe(0);
});

test('a message that is typed during a reply follows it', () => {
  const page = ready();
  page.submit('one');
  page.step(true);
  page.submit('two');
  page.settle();
  expect(shown(page.state)).toEqual(['one', 'reply to one 👍🏽', 'two', 'reply to two 👍🏽']);
});

test('a refused message returns to the draft, and nothing else is posted', () => {
  const page = ready();
  page.submit('Hello');
  const [sending] = page.state.outbox;
  const problem = new Problem(503, 'inference_busy', '', 1000);
  const { state, effects } = reduceSession(page.state, {
    type: 'post-failed',
    key: sending?.key ?? '',
    problem,
  });
  expect(state.outbox).toEqual([]);
  expect(state.problem).toBe(problem);
  expect(effects).toEqual([{ do: 'return-to-draft', content: 'Hello' }]);
});

test('a request whose answer is lost is repeated with the same key and body', () => {
  const page = ready();
  page.submit('Hello');
  const before = page.state.outbox[0];
  page.dispatch({
    type: 'post-failed',
    key: before?.key ?? '',
    problem: new Problem(0, 'network', ''),
  });
  const after = page.state.outbox[0];
  expect(after?.state).toBe('unknown');
  expect([after?.key, after?.content, after?.parentId]).toEqual([
    before?.key,
    before?.content,
    before?.parentId,
  ]);
});

test('a message that meets an open turn is queued, and will follow its reply', () => {
  const page = ready();
  page.submit('Hello');
  const key = page.state.outbox[0]?.key ?? '';
  const problem = new Problem(409, 'turn_open', '');
  const { state, effects } = reduceSession(page.state, { type: 'post-failed', key, problem });
  expect(state.outbox[0]).toMatchObject({ key, content: 'Hello' });
  expect(effects.map((each) => each.do)).toEqual(['load']);
});

test('a message that is sent beside the messages of others is marked as a branch', () => {
  const page = ready();
  page.submit('common');
  page.settle();
  const leaf = page.state.leaf;
  const other = { ...sendingOf(page), key: 'theirs', content: 'theirs', parentId: leaf };
  page.server.post(other, 'their reply');
  page.server.end();
  page.submit('mine');
  page.settle();
  expect(page.state.branchedElsewhere).toBe(true);
  expect(page.server.messages.map((each) => each.content)).toContain('theirs');
  expect(shown(page.state).at(-2)).toBe('mine');
});

test('an erased session leaves nothing behind', () => {
  const page = ready();
  page.submit('secret');
  page.settle();
  const { state, effects } = reduceSession(page.state, { type: 'gone' });
  expect(JSON.stringify([...state.messages.values(), state.outbox, state.leaf])).not.toContain(
    'secret',
  );
  expect(state.view).toBe('gone');
  expect(effects.map((each) => each.do)).toContain('forget');
});

test('a parked turn resumes at its place', () => {
  const page = ready();
  page.submit('Hello');
  page.step(true);
  page.dispatch({
    type: 'delta',
    turnId: page.state.open?.turnId ?? '',
    event: { type: 'reply.delta', sequence_number: 3, delta: 'rep' },
  });
  page.dispatch({ type: 'hidden' });
  expect(page.state.open?.link).toBe('parked');
  const { effects } = reduceSession(page.state, { type: 'visible' });
  expect(effects).toContainEqual(expect.objectContaining({ do: 'attach', place: 3, afterMs: 0 }));
});

test('a gap is resumed at the place reached, and nothing of it is shown', () => {
  const page = answering();
  const { state, effects } = reduceSession(page.state, {
    type: 'delta',
    turnId: page.state.open?.turnId ?? '',
    event: { type: 'reply.delta', sequence_number: 9, delta: 'late' },
  });
  expect(state.open?.reply.text).toBe('');
  expect(effects).toEqual([expect.objectContaining({ do: 'attach', place: 0, afterMs: 0 })]);
});

test('a reply that history has before its end event ends the turn', () => {
  const page = answering();
  page.server.end();
  const session = page.server.session();
  const { state, effects } = reduceSession(page.state, {
    type: 'loaded',
    session,
    page: page.server.page(),
  });
  expect(state.open).toBeNull();
  expect(effects.map((each) => each.do)).toContain('detach');
});

test('a stream that is not found asks for the turn', () => {
  const page = answering();
  const { effects } = reduceSession(page.state, {
    type: 'stream-closed',
    attempt: page.state.open?.attempt ?? 0,
    at: 0,
    problem: new Problem(404, 'turn_not_found', ''),
  });
  expect(effects.map((each) => each.do)).toEqual(['read-turn']);
});

test('waits between attempts grow until a delta arrives, not until a connection opens', () => {
  const page = answering();
  const waits: number[] = [];
  for (let n = 0; n < 4; n++) {
    const attempt = page.state.open?.attempt ?? 0;
    const closed = reduceSession(page.state, {
      type: 'stream-closed',
      attempt,
      at: 0,
      problem: null,
    });
    for (const effect of closed.effects) if (effect.do === 'attach') waits.push(effect.afterMs);
    page.state = closed.state;
    page.dispatch({ type: 'stream-opened', attempt: page.state.open?.attempt ?? 0 });
  }
  expect(waits).toEqual([0, 250, 500, 1000]);
});

test('Stop before the turn has started is sent when it has', () => {
  const page = ready();
  page.submit('Hello');
  page.dispatch({ type: 'stop-requested' });
  const [sending] = page.state.outbox;
  if (!sending) throw new Error('Nothing is posted.');
  const event = page.server.post(sending, 'reply');
  const { effects } = reduceSession(page.state, {
    type: 'turn-started',
    key: sending.key,
    event,
    attempt: 1,
    at: 0,
  });
  expect(effects).toContainEqual({ do: 'cancel', turnId: event.turn_id, afterMs: 0 });
});

function sendingOf(page: Simulation): Sending {
  const [posted] = page.posted;
  if (!posted) throw new Error('Nothing was posted.');
  return posted;
}

function ready(): Simulation {
  const page = reliable();
  page.dispatch({ type: 'version-moved' });
  page.settle();
  return page;
}

function answering(): Simulation {
  const page = ready();
  page.submit('Hello');
  page.step(true);
  return page;
}

describe('whatever happens', () => {
  test('page and server agree at rest, every message once, under one key', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('submit', 'stop', 'hide', 'show', 'crash', 'step'), {
          maxLength: 40,
        }),
        fc.infiniteStream(fc.nat({ max: 1_000_000 })),
        (happenings, random) => {
          const page = new Simulation(() => random.next().value ?? 0);
          page.dispatch({ type: 'version-moved' });
          const submitted: string[] = [];
          for (const happening of happenings) {
            if (happening === 'submit' && submitted.length < 8) {
              submitted.push(`text ${submitted.length}`);
              page.submit(submitted.at(-1) ?? '');
            } else if (happening === 'stop') page.dispatch({ type: 'stop-requested' });
            else if (happening === 'hide') page.dispatch({ type: 'hidden' });
            else if (happening === 'show') page.dispatch({ type: 'visible' });
            else if (happening === 'crash') page.crash();
            for (let step = 0; step < 3; step++) page.step();
          }
          page.settle();
          // Nothing is lost, and nothing is stored twice.
          const stored = page.server.messages.filter((each) => each.role === 'user');
          const found = stored.map((each) => each.content);
          expect(found.toSorted()).toEqual(submitted.toSorted());
          expect(page.returned).toEqual([]);
          // One key for each message, and one body for each key once it was accepted.
          const keys = new Set(page.posted.map((each) => each.key));
          expect(keys.size).toBe(submitted.length);
          // The page shows what the server has.
          for (const message of page.server.messages) {
            expect(page.state.messages.get(message.id)?.content).toBe(message.content);
          }
          expect(page.state.outbox).toEqual([]);
          expect(page.state.open).toBeNull();
          expect(page.state.mendedJoins).toBe(0);
        },
      ),
      { numRuns: 400 },
    );
  });
});
