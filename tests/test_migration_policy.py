"""Migrations keep the version before them working (ADR 32): first expand, later contract."""

import re
from pathlib import Path

import pytest

from parley_core.storage.migrations import Migration, load_migrations

ROOT = Path(__file__).parents[1]
# Of before the first release, when no older version had to work beside them.
UNMARKED = {"session": 8, "history": 2}

_REMOVES = re.compile(
    r"\b(DROP\s+(?!INDEX\s+CONCURRENTLY)|RENAME\b|SET\s+NOT\s+NULL|ALTER\s+COLUMN\s+\S+\s+(SET\s+DATA\s+)?TYPE)",
    re.IGNORECASE,
)
_BLOCKING_INDEX = re.compile(r"\bCREATE\s+(UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY)", re.IGNORECASE)
_NEW_TABLES = re.compile(r"\bCREATE\s+TABLE\b", re.IGNORECASE)

NEW = [
    migration
    for service, unmarked in UNMARKED.items()
    for migration in load_migrations(
        ROOT / f"services/{service}/src/parley_{service}/storage/migrations"
    )
    if migration.number > unmarked
]


def violations(migration: Migration) -> list[str]:
    sql = "\n".join(line.partition("--")[0] for line in migration.sql.splitlines()[1:])
    found = []
    if not migration.sql.startswith(("-- expand", "-- contract ")):
        found.append("the first line says neither expand nor contract")
    if migration.oldest_reader == 0 and _REMOVES.search(sql):
        found.append("an expand migration removes or changes something")
    if migration.oldest_reader >= migration.number:
        found.append("the version before would not work with it")
    if _BLOCKING_INDEX.search(sql) and not _NEW_TABLES.search(sql):
        found.append("an index on an existing table blocks writes: use CONCURRENTLY")
    return found


def test_new_migrations_keep_the_version_before_them_working() -> None:
    found = {migration.name: violations(migration) for migration in NEW}
    assert not any(found.values()), found


@pytest.mark.parametrize(
    ("sql", "count"),
    [
        ("-- expand\nALTER TABLE sessions ADD COLUMN colour text;", 0),
        ("-- expand concurrently\nCREATE INDEX CONCURRENTLY ON sessions (colour);", 0),
        ("-- expand\nCREATE TABLE colours (name text); CREATE INDEX ON colours (name);", 0),
        ("-- contract 8\nALTER TABLE sessions DROP COLUMN colour;", 0),
        ("ALTER TABLE sessions ADD COLUMN colour text;", 2),
        ("-- expand\nALTER TABLE sessions DROP COLUMN colour;", 1),
        ("-- expand\nALTER TABLE sessions ALTER COLUMN colour SET NOT NULL;", 1),
        ("-- expand\nCREATE INDEX ON sessions (colour);", 1),
        ("-- contract 9\nALTER TABLE sessions DROP COLUMN colour;", 1),
    ],
)
def test_the_policy_finds_what_breaks_the_version_before(sql: str, count: int) -> None:
    assert len(violations(Migration(9, "colour", sql))) == count
