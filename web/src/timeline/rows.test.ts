import { expect, test } from 'vitest';
import { EMPTY } from '../turns/replyText';
import type { OpenTurn, Sending } from '../turns/sessionState';
import type { Message } from '../turns/turnEvents';
import { rowsOf, runningBranches, shownPart } from './rows';

function message(id: string, parent: string | null, version: number, day = '28'): Message {
  return {
    object: 'message',
    id,
    session_id: 's',
    turn_id: null,
    parent_message_id: parent,
    role: id.startsWith('u') ? 'user' : 'assistant',
    content: id,
    status: 'completed',
    version,
    created_at: `2026-11-${day}T12:00:00Z`,
  };
}

function tree(...messages: Message[]): ReadonlyMap<string, Message> {
  return new Map(messages.map((each) => [each.id, each]));
}

const open: OpenTurn = {
  turnId: 't',
  replyId: 'r3',
  parentId: 'u1',
  reply: EMPTY,
  link: 'live',
  attempt: 1,
  lostAt: null,
  tries: 0,
  startedAt: 0,
  stop: 'no',
};

const edit: Sending = {
  key: 'k',
  sessionId: 's',
  content: 'u1, better',
  parentId: null,
  at: 0,
  state: 'posting',
  tries: 0,
  stop: false,
};

const messages = tree(
  message('u1', null, 2),
  message('r1', 'u1', 3),
  message('r2', 'u1', 4),
  message('u2', 'r2', 5, '29'),
);

test('the branch of the leaf is shown, with a separator for each day', () => {
  const rows = rowsOf(messages, 'u2', []);
  expect(rows.map((row) => row.key)).toEqual(['day-u1', 'u1', 'r2', 'day-u2', 'u2']);
});

test('a message with siblings knows its place among them', () => {
  const row = rowsOf(messages, 'r2', []).at(-1);
  expect(row).toMatchObject({ branches: { index: 1, ids: ['r1', 'r2'] } });
});

test('a running reply is a sibling of those before it', () => {
  expect(runningBranches(messages, open)).toEqual({ index: 2, ids: ['r1', 'r2', 'r3'] });
  expect(shownPart({ messages, leaf: 'r3', open, outbox: [] })).toEqual({
    end: 'u1',
    running: open,
  });
});

test('a posted edit hides what it replaces at once', () => {
  const shown = shownPart({ messages, leaf: 'u2', open: null, outbox: [edit] });
  expect(shown).toEqual({ end: null, running: null });
});

test('a queued message leaves the running reply in view', () => {
  const queued: Sending = { ...edit, state: 'queued' };
  expect(shownPart({ messages, leaf: 'r3', open, outbox: [queued] }).running).toBe(open);
});

test('rows that did not change keep their identity', () => {
  const before = rowsOf(messages, 'u2', []);
  const more = new Map(messages).set('r4', message('r4', 'u2', 6, '29'));
  const after = rowsOf(more, 'r4', before);
  expect(after.slice(0, before.length)).toEqual(before);
  for (const [index, row] of before.entries()) expect(after[index]).toBe(row);
});
