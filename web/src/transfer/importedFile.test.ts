import { expect, test } from 'vitest';
import { checkFile, partsOf } from './importedFile';

const exported = {
  object: 'session_export',
  session: { title: 'T', assistant_id: 'helper' },
  messages: [
    { id: 'a', parent_message_id: null, role: 'user', content: 'q', version: 1 },
    { id: 'b', parent_message_id: 'a', role: 'assistant', content: 'r1', status: 'completed' },
    { id: 'c', parent_message_id: 'a', role: 'assistant', content: 'r2', status: 'completed' },
  ],
};

test('branches of an export are kept under new ids', () => {
  const { sessions, messageCount } = checkFile(JSON.stringify(exported), 100);
  expect(messageCount).toBe(3);
  const [root, first, second] = sessions[0]?.messages ?? [];
  expect(root?.id).not.toBe('a');
  expect(first?.parent_message_id).toBe(root?.id);
  expect(second?.parent_message_id).toBe(root?.id);
  expect(root?.parent_message_id).toBe(null);
  expect(root && 'version' in root).toBe(false);
});

test('all sessions of an export, and a bare list of messages, are read', () => {
  const all = { object: 'export', sessions: [exported, exported] };
  expect(checkFile(JSON.stringify(all), 100).sessions).toHaveLength(2);
  const list = [{ role: 'user', content: 'hello' }];
  expect(checkFile(JSON.stringify(list), 100).sessions[0]?.messages).toEqual(list);
});

test('messages that the server would refuse are counted', () => {
  const messages = [
    { role: 'user', content: 'x'.repeat(101) },
    { role: 'assistant', content: 'x'.repeat(200) },
    { role: 'tool', content: 'x' },
    { role: 'user' },
    { role: 'user', content: '' },
  ];
  const { messageCount, badCount } = checkFile(JSON.stringify({ messages }), 100);
  expect([messageCount, badCount]).toEqual([1, 4]);
});

test.each(['', 'no JSON', '{}', '[]', '"text"', '{"messages": 1}'])('%j is refused', (text) => {
  expect(() => checkFile(text, 100)).toThrow(SyntaxError);
});

test('parts have at most so many messages and bytes, in order', () => {
  const messages = Array.from({ length: 7 }, (_, n) => ({
    role: 'user' as const,
    content: `${n}`,
  }));
  const parts = partsOf(messages, 3);
  expect(parts.map((part) => part.length)).toEqual([3, 3, 1]);
  expect(parts.flat()).toEqual(messages);
  expect(partsOf(messages, 100, 40).length).toBe(7);
});
