"""Rewrap: unwraps each stored key with its master key and wraps it again with the active one.

A key is replaced only if it is still as it was read, in commits of a few, so processes serve
meanwhile, and a rewrap that was killed continues where it ended.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from parley_core.crypto.master_keys import UnknownMasterKey, master_key_id_of, wrapped_prefix
from parley_core.crypto.sealing import DataKey
from parley_session.key_management.keyring import Keyring
from parley_session.storage.database import Connection
from parley_session.storage.keys.wrapped_key_tables import WRAPPED_KEY_TABLES, WrappedKeyTable

BATCH_KEYS = 100
"""As many as one call of a key service takes."""
COMMIT_KEYS = 10
"""A commit locks this many rows, and occupies a core for less than half a millisecond: a read on
the same core waits for it.
"""
# A pause lasts this many times as long as the commit, or the batch of a dry run, before it: the
# requests of people come first.
_PAUSE_FACTOR = 3.0
# Processes that still wrap with another master key add keys behind a pass.
_MAX_PASSES = 5
_MAX_LISTED = 10
_LOCK_ATTEMPTS, _LOCK_INTERVAL_SECONDS = 50, 0.2

# No wrapped key begins with it.
_NO_PREFIX = b"\0"

# Arbitrary advisory-lock key: two rewraps would lock the same rows in different orders.
_LOCK_KEY = 0x726577726170


class RewrapAlreadyRunning(Exception):
    """Another process rewraps the keys of this store."""


@dataclass
class RewrapResult:
    """How many keys were (or would be) rewrapped, by the id of the master key that wrapped them."""

    by_master_key: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    """Keys of master keys that the settings lack, by their ids."""
    damaged: int = 0
    """Wrapped keys that are malformed, or that their master key does not unwrap."""
    first_damaged: list[str] = field(default_factory=list)
    """The rows of some damaged keys: table and primary key."""


class Rewrap:
    def __init__(
        self,
        connection: Connection,
        keyring: Keyring,
        *,
        every_key: bool = False,
        on_batch: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`every_key` includes those that the active master key wraps already: a key service wraps
        them with the newest version of a key that was rotated there.

        `on_batch` is called after each batch, with the number of keys that were looked at.
        """
        self._connection, self._keyring, self._on_batch = connection, keyring, on_batch
        self._prefix = _NO_PREFIX if every_key else wrapped_prefix(keyring.active)
        self._max_passes = 1 if every_key else _MAX_PASSES

    async def run(self) -> RewrapResult:
        """Rewrap all keys that another master key than the active one wraps, or every key.

        Keys that cannot be unwrapped are left as they are. Raises RewrapAlreadyRunning,
        KeyServiceUnavailable, asyncpg's errors.
        """
        await self._lock()
        total: Counter[str] = Counter()
        for _ in range(self._max_passes):
            result = await self._pass(store=True)
            total += result.by_master_key
            if not result.by_master_key:
                break
        result.by_master_key = total
        return result

    async def dry_run(self) -> RewrapResult:
        """Unwrap what `run` would rewrap, and change nothing."""
        return await self._pass(store=False)

    async def _lock(self) -> None:
        # The server may notice the end of a killed predecessor a little later.
        for _ in range(_LOCK_ATTEMPTS):
            if await self._connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK_KEY):
                return
            await asyncio.sleep(_LOCK_INTERVAL_SECONDS)
        raise RewrapAlreadyRunning(
            "Another process rewraps the keys of this store. Wait until it has ended."
        )

    async def _pass(self, *, store: bool) -> RewrapResult:
        result = RewrapResult()
        for table in WRAPPED_KEY_TABLES:
            async for rows in self._batches(table):
                started = time.monotonic()
                replaced = await self._replaced(table, rows, result)
                if store:
                    await self._store_slowly(table, replaced)
                else:
                    await _pause_after(started)
                self._on_batch(len(rows))
        return result

    async def _batches(self, table: WrappedKeyTable) -> AsyncIterator[list[asyncpg.Record]]:
        after: Sequence[Any] = ()
        while True:
            statement = _read_statement(table, first=not after)
            rows = await self._connection.fetch(statement, BATCH_KEYS, self._prefix, *after)
            if rows:
                yield rows
            if len(rows) < BATCH_KEYS:
                return
            after = _primary_key(rows[-1])

    async def _replaced(
        self, table: WrappedKeyTable, rows: Sequence[asyncpg.Record], result: RewrapResult
    ) -> list[tuple[Any, ...]]:
        """The primary key, the old and the new wrapped key of each row that can be unwrapped."""
        stored = [(row["wrapped_key"], table.wrapped_for(_primary_key(row))) for row in rows]
        unwrapped = zip(rows, stored, await self._keyring.try_unwrap_all(stored), strict=True)
        usable, keys = [], []
        for row, (wrapped, wrapped_for), key in unwrapped:
            if isinstance(key, DataKey):
                result.by_master_key[master_key_id_of(wrapped)] += 1
                usable.append((*_primary_key(row), wrapped))
                keys.append((key, wrapped_for))
            elif isinstance(key, UnknownMasterKey):
                result.unknown[key.key_id] += 1
            else:
                result.damaged += 1
                if len(result.first_damaged) < _MAX_LISTED:
                    named = "/".join(map(str, _primary_key(row)))
                    result.first_damaged.append(f"{table.name} {named}")
        new_keys = await self._keyring.wrap_all(keys)
        return [(*row, new_key) for row, new_key in zip(usable, new_keys, strict=True)]

    async def _store_slowly(
        self, table: WrappedKeyTable, replaced: Sequence[tuple[Any, ...]]
    ) -> None:
        for first in range(0, len(replaced), COMMIT_KEYS):
            started = time.monotonic()
            await self._store(table, replaced[first : first + COMMIT_KEYS])
            await _pause_after(started)

    async def _store(self, table: WrappedKeyTable, replaced: Sequence[tuple[Any, ...]]) -> None:
        # A key that an erasure destroyed meanwhile, or another process changed, is not replaced.
        columns = [list(column) for column in zip(*replaced, strict=True)]
        await self._connection.execute(_update_statement(table), *columns)


async def _pause_after(started: float) -> None:
    await asyncio.sleep(_PAUSE_FACTOR * (time.monotonic() - started))


def _primary_key(row: asyncpg.Record) -> tuple[Any, ...]:
    return tuple(row.values())[:-1]


def _read_statement(table: WrappedKeyTable, *, first: bool) -> str:
    """Reads keys that do not begin with $2; unless it is the first, after a row."""
    after = ", ".join(f"${number}" for number in range(3, 3 + len(table.columns)))
    return f"""
        SELECT {table.primary_key}, wrapped_key FROM {table.name}
        WHERE substring(wrapped_key FROM 1 FOR length($2::bytea)) <> $2::bytea
            {"" if first else f"AND ({table.primary_key}) > ({after})"}
        ORDER BY {table.primary_key} LIMIT $1
    """  # noqa: S608 - the names are constants


def _update_statement(table: WrappedKeyTable) -> str:
    arrays = [*(kind for _, kind in table.columns), "bytea", "bytea"]
    unnested = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(arrays, start=1))
    qualified = ", ".join(f"{table.name}.{name}" for name, _ in table.columns)
    asked = ", ".join(f"rewrapped.{name}" for name, _ in table.columns)
    return f"""
        UPDATE {table.name} SET wrapped_key = rewrapped.new_key
        FROM unnest({unnested}) AS rewrapped ({table.primary_key}, old_key, new_key)
        WHERE ({qualified}) = ({asked}) AND {table.name}.wrapped_key = rewrapped.old_key
    """  # noqa: S608 - the names are constants
