"""Lists the files of a backup: every table of the database, with keys in files of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from parley_session.storage.database import Connection

Folder = Literal["store", "keys"]

EXCLUDED_TABLES = {
    "cost_reservations": "what running replies may cost",
    "runners": "the heartbeats of running processes",
    "schema_migrations": "part of the manifest",
    "sweeper": "the last tick of the sweeper",
    "turn_counts": "the counts of the current minute and day",
}

# In a file of their own, and not at all: a restored store makes its snapshots itself.
_SEPARATE_COLUMNS = {"wrapped_key", "snapshot", "snapshot_version"}

# Ordered by stream id where there is one, so that files can be read in step.
_TABLES = """
SELECT tables.relname AS name, columns.names AS columns, columns.numbered,
    array(
        SELECT name FROM unnest('{session_id,stream_id}'::name[]) AS name
        WHERE name = ANY (columns.names)
    ) || keys.names AS ordered_by
FROM pg_class AS tables,
    LATERAL (
        SELECT array_agg(attname ORDER BY attnum) AS names,
            min(attname) FILTER (WHERE attidentity <> '') AS numbered
        FROM pg_attribute
        WHERE attrelid = tables.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    ) AS columns,
    LATERAL (
        SELECT array_agg(attname ORDER BY ordinal) AS names
        FROM pg_index, unnest(indkey) WITH ORDINALITY AS key (number, ordinal), pg_attribute
        WHERE indrelid = tables.oid AND indisprimary
            AND attrelid = tables.oid AND attnum = key.number
    ) AS keys
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
ORDER BY tables.relname
"""

# These select statements as text, so that the server quotes the identifiers in them.
_ROWS = """
SELECT format(
    'SELECT %s FROM %I ORDER BY %s',
    (SELECT string_agg(quote_ident(name), ', ') FROM unnest($2::text[]) AS name),
    $1::text,
    (SELECT string_agg(quote_ident(name), ', ') FROM unnest($3::text[]) AS name)
)
"""
_COUNT = "SELECT format('SELECT count(*) FROM %I', $1::text)"


@dataclass(frozen=True, slots=True)
class BackupTable:
    """Contents of one file: columns of a table; `numbered` is the identity column, if any."""

    name: str
    folder: Folder
    table: str
    columns: tuple[str, ...]
    ordered_by: tuple[str, ...]
    numbered: str | None = None

    async def statement(self, connection: Connection) -> str:
        """The statement that selects the rows."""
        text: str = await connection.fetchval(_ROWS, self.table, self.columns, self.ordered_by)
        return text

    async def count(self, connection: Connection) -> int:
        statement = await connection.fetchval(_COUNT, self.table)
        count: int = await connection.fetchval(statement)
        return count


async def backup_tables(connection: Connection) -> list[BackupTable]:
    """The keys of sessions get a file of their own; other tables with keys go there entirely."""
    tables = []
    for table in await connection.fetch(_TABLES):
        if table["name"] not in EXCLUDED_TABLES:
            tables += _files_of_table(
                table["name"], table["columns"], table["ordered_by"], table["numbered"]
            )
    return tables


def _files_of_table(
    table: str, columns: Sequence[str], ordered_by: Sequence[str], numbered: str | None
) -> list[BackupTable]:
    if table == "sessions":
        others = tuple(name for name in columns if name not in _SEPARATE_COLUMNS)
        return [
            BackupTable("sessions", "store", table, others, (*ordered_by,)),
            BackupTable("session_keys", "keys", table, ("id", "wrapped_key"), (*ordered_by,)),
        ]
    folder: Folder = "keys" if "wrapped_key" in columns else "store"
    return [BackupTable(table, folder, table, (*columns,), (*ordered_by,), numbered)]
