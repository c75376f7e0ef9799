import { expect, test } from 'vitest';
import { groupsOf } from './rowGroups';
import type { Row } from './rows';

const day = (version: number): Row => ({
  kind: 'day',
  key: `${version}`,
  version,
  date: new Date(0),
});
const rows = Array.from({ length: 100 }, (_, n) => day(n + 30));

test('groups keep their identity when rows come before and after them', () => {
  const before = groupsOf(rows.slice(20, 80), []);
  const after = groupsOf(rows, before);
  expect(after.flatMap((group) => group.rows)).toEqual(rows);
  // The first and the last one have grown.
  for (const group of before.slice(1, -1)) expect(after).toContain(group);
});

test('a group whose rows changed is another one', () => {
  const before = groupsOf(rows, []);
  const changed = rows.map((row, index) => (index === 50 ? { ...row } : row));
  const after = groupsOf(changed, before);
  expect(after.filter((group) => !before.includes(group))).toHaveLength(1);
});
