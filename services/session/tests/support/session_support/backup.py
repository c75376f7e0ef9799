"""Copies the event store and restores the copy, like a lossy failover."""

from typing import Any

from parley_core.storage.postgres_pool import Pool

TABLES = {
    "sessions": "id",
    "events": "session_id, sequence",
    "turns": "id",
    "outbox": "session_id, sequence",
}
# A turn that is taken back is opened anew, and claimed by nobody.
_ITS_OWN = {"opened_at", "claimed_at", "runner", "position"}

Contents = dict[str, list[dict[str, Any]]]


async def contents(pool: Pool) -> Contents:
    """All rows, without columns that differ between stores."""
    return {
        table: [
            {name: value for name, value in row.items() if name not in _ITS_OWN}
            for row in await pool.fetch(f"SELECT * FROM {table} ORDER BY {key}")
        ]
        for table, key in TABLES.items()
    }


async def back_up(pool: Pool) -> None:
    for table in TABLES:
        await pool.execute(f"CREATE TABLE backup_{table} AS TABLE {table}")


async def restore(pool: Pool) -> None:
    for table in TABLES:
        await pool.execute(
            f"""
            TRUNCATE {table};
            INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM backup_{table};
            DROP TABLE backup_{table}
            """
        )
