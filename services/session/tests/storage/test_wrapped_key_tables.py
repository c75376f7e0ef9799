"""The list of tables with wrapped keys is that of the schema."""

from parley_core.storage.postgres_pool import Pool
from parley_session.storage.keys.wrapped_key_tables import WRAPPED_KEY_TABLES

# Each column whose name says that it has wrapped keys, with its table's primary key.
_COLUMNS = """
SELECT columns.table_name::text, column_name::text, ARRAY(
    SELECT attname || ' ' || format_type(atttypid, NULL)
    FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
    WHERE indrelid = columns.table_name::regclass AND indisprimary
    ORDER BY array_position(indkey, attnum)
) AS primary_key
FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'
    AND data_type = 'bytea' AND column_name LIKE '%wrapped%'
"""


async def test_every_table_with_wrapped_keys_is_counted_and_rewrapped(pool: Pool) -> None:
    stored = [(row[0], row[1], row[2]) for row in await pool.fetch(_COLUMNS)]
    listed = [
        (table.name, "wrapped_key", [f"{name} {kind}" for name, kind in table.columns])
        for table in WRAPPED_KEY_TABLES
    ]
    assert sorted(stored) == sorted(listed)
