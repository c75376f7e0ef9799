"""Which files a backup has: every table that the database itself names, keys apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import asyncpg

Connection = asyncpg.Connection
Folder = Literal["store", "keys"]

LEFT_OUT = {
    "runners": "which process runs which turn now",
    "schema_migrations": "the manifest has it",
    "sweeper": "when turns were last looked after",
}

# Stream by stream, where a table has to do with streams: so that files can be read side by side.
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
        SELECT array_agg(attname ORDER BY place) AS names
        FROM pg_index, unnest(indkey) WITH ORDINALITY AS key (number, place), pg_attribute
        WHERE indrelid = tables.oid AND indisprimary
            AND attrelid = tables.oid AND attnum = key.number
    ) AS keys
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
ORDER BY tables.relname
"""

# Statements with names in them: the server quotes these.
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
class Part:
    """What one file holds: columns of a table; `numbered` is the one that counts by itself."""

    name: str
    folder: Folder
    table: str
    columns: tuple[str, ...]
    ordered_by: tuple[str, ...]
    numbered: str | None = None

    async def statement(self, connection: "Connection[asyncpg.Record]") -> str:
        """What reads its rows."""
        text: str = await connection.fetchval(_ROWS, self.table, self.columns, self.ordered_by)
        return text

    async def count(self, connection: "Connection[asyncpg.Record]") -> int:
        statement = await connection.fetchval(_COUNT, self.table)
        count: int = await connection.fetchval(statement)
        return count


async def parts_of(connection: "Connection[asyncpg.Record]") -> list[Part]:
    """A session's key stands apart from its row; whatever else keeps keys stands apart whole."""
    parts = []
    for table in await connection.fetch(_TABLES):
        if table["name"] not in LEFT_OUT:
            parts += _parts(table["name"], table["columns"], table["ordered_by"], table["numbered"])
    return parts


def _parts(
    table: str, columns: Sequence[str], ordered_by: Sequence[str], numbered: str | None
) -> list[Part]:
    if table == "sessions":
        others = tuple(name for name in columns if name != "wrapped_key")
        return [
            Part("sessions", "store", table, others, (*ordered_by,)),
            Part("session_keys", "keys", table, ("id", "wrapped_key"), (*ordered_by,)),
        ]
    folder: Folder = "keys" if "wrapped_key" in columns else "store"
    return [Part(table, folder, table, (*columns,), (*ordered_by,), numbered)]
