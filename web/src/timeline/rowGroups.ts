/** Rows in groups that keep their identity when rows come before or after them: pure. */
import type { Row } from './rows';

export interface RowGroup {
  readonly key: number;
  readonly rows: readonly Row[];
}

// Versions of a session in a group: some ten messages.
const VERSIONS = 20;

/** `known` are the groups of the state before: equal ones keep their identity. */
export function groupsOf(rows: readonly Row[], known: readonly RowGroup[]): RowGroup[] {
  const before = new Map(known.map((group) => [group.key, group]));
  const groups: Array<{ key: number; rows: Row[] }> = [];
  for (const row of rows) {
    const key = Math.floor(row.version / VERSIONS);
    const last = groups.at(-1);
    if (last?.key === key) last.rows.push(row);
    else groups.push({ key, rows: [row] });
  }
  return groups.map((group) => {
    const same = before.get(group.key);
    const isSame =
      same?.rows.length === group.rows.length &&
      same.rows.every((row, index) => row === group.rows[index]);
    return isSame ? same : group;
  });
}
