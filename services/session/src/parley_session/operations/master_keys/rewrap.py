"""Rewrap: unwraps each stored key with its master key and wraps it again with the active one.

Each batch is one commit, and a key is replaced only if it is still as it was read, so processes
serve meanwhile, and a rewrap that was killed continues where it ended.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from parley_core.auth.principal import Principal
from parley_core.crypto.master_keys import (
    MasterKeys,
    UnknownMasterKey,
    master_key_id_of,
    wrapped_prefix,
)
from parley_core.crypto.sealing import UnsealError
from parley_session.storage.database import Connection
from parley_session.storage.keys import installation_key
from parley_session.storage.keys.search_keys import wrapping_id

BATCH_KEYS = 200
"""Locks so many rows at a time, for a few milliseconds."""
# After each batch, of the time that it took: people's requests come first.
_PAUSE_SHARE = 1.0
# Processes that still wrap with another master key add keys behind a pass.
_MAX_PASSES = 5
_MAX_LISTED = 10
_LOCK_ATTEMPTS, _LOCK_INTERVAL_SECONDS = 50, 0.2

# Arbitrary advisory-lock key: two rewraps would lock the same rows in different orders.
_LOCK_KEY = 0x726577726170


class RewrapRuns(Exception):
    """Another process rewraps keys of this store."""


@dataclass(frozen=True, slots=True)
class _Table:
    """A table with wrapped keys, its primary key with types, and the id that a row's is for."""

    name: str
    columns: Sequence[tuple[str, str]]
    wrapped_for: Callable[[Sequence[Any]], UUID]

    def read_statement(self, *, first: bool) -> str:
        """Reads keys that do not begin with $2; unless it is the first, after a row."""
        names = ", ".join(name for name, _ in self.columns)
        after = ", ".join(f"${number}" for number in range(3, 3 + len(self.columns)))
        return f"""
            SELECT {names}, wrapped_key FROM {self.name}
            WHERE substring(wrapped_key FROM 1 FOR length($2::bytea)) <> $2::bytea
                {"" if first else f"AND ({names}) > ({after})"}
            ORDER BY {names} LIMIT $1
        """  # noqa: S608 - the names are constants

    @property
    def update_statement(self) -> str:
        arrays = [*(kind for _, kind in self.columns), "bytea", "bytea"]
        unnested = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(arrays, start=1))
        names = ", ".join(name for name, _ in self.columns)
        qualified = ", ".join(f"{self.name}.{name}" for name, _ in self.columns)
        asked = ", ".join(f"rewrapped.{name}" for name, _ in self.columns)
        return f"""
            UPDATE {self.name} SET wrapped_key = rewrapped.new_key
            FROM unnest({unnested}) AS rewrapped ({names}, old_key, new_key)
            WHERE ({qualified}) = ({asked}) AND {self.name}.wrapped_key = rewrapped.old_key
        """  # noqa: S608 - the names are constants


_TABLES = (
    _Table("installation_key", [("only_row", "boolean")], lambda _: installation_key.WRAPPING_ID),
    _Table(
        "search_keys",
        [("tenant", "text"), ("owner", "text")],
        lambda row: wrapping_id(Principal(row[0], row[1])),
    ),
    _Table("sessions", [("id", "uuid")], lambda row: row[0]),
)


@dataclass
class Rewrapped:
    """How many keys were (or would be) rewrapped, by the id of the master key that wrapped them."""

    by_master_key: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    """Keys of master keys that the settings lack, by their ids."""
    damaged: int = 0
    """Keys that their master key does not unwrap, or that are none."""
    first_damaged: list[str] = field(default_factory=list)
    """What some of them are the keys of."""


class Rewrap:
    def __init__(
        self,
        connection: Connection,
        master_keys: MasterKeys,
        *,
        on_batch: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`on_batch` is called after each batch, with the number of keys that were looked at."""
        self._connection, self._master_keys = connection, master_keys
        self._prefix, self._on_batch = wrapped_prefix(master_keys.active), on_batch

    async def run(self) -> Rewrapped:
        """Rewrap all keys that another master key than the active one wraps.

        Keys that cannot be unwrapped are left as they are. Raises RewrapRuns, asyncpg's errors.
        """
        await self._lock()
        total: Counter[str] = Counter()
        for _ in range(_MAX_PASSES):
            result = await self._pass(store=True)
            total += result.by_master_key
            if not result.by_master_key:
                break
        result.by_master_key = total
        return result

    async def try_out(self) -> Rewrapped:
        """Unwrap what `run` would rewrap, and change nothing."""
        return await self._pass(store=False)

    async def _lock(self) -> None:
        # The server may notice the end of a killed predecessor a little later.
        for _ in range(_LOCK_ATTEMPTS):
            if await self._connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK_KEY):
                return
            await asyncio.sleep(_LOCK_INTERVAL_SECONDS)
        raise RewrapRuns("Another process rewraps the keys of this store. Wait until it has ended.")

    async def _pass(self, *, store: bool) -> Rewrapped:
        result = Rewrapped()
        for table in _TABLES:
            async for rows in self._batches(table):
                started = time.monotonic()
                replaced = self._replaced(table, rows, result)
                if store and replaced:
                    await self._store(table, replaced)
                self._on_batch(len(rows))
                await asyncio.sleep(_PAUSE_SHARE * (time.monotonic() - started))
        return result

    async def _batches(self, table: _Table) -> AsyncIterator[list[asyncpg.Record]]:
        after: Sequence[Any] = ()
        while True:
            statement = table.read_statement(first=not after)
            rows = await self._connection.fetch(statement, BATCH_KEYS, self._prefix, *after)
            if rows:
                yield rows
            if len(rows) < BATCH_KEYS:
                return
            after = _primary_key(rows[-1])

    def _replaced(
        self, table: _Table, rows: Sequence[asyncpg.Record], result: Rewrapped
    ) -> list[tuple[Any, ...]]:
        """The primary key, the old and the new wrapped key of each row that can be unwrapped."""
        replaced = []
        for row in rows:
            primary_key, wrapped = _primary_key(row), row["wrapped_key"]
            wrapped_for = table.wrapped_for(primary_key)
            try:
                key = self._master_keys.unwrap(wrapped, wrapped_for)
            except UnknownMasterKey as unknown:
                result.unknown[unknown.key_id] += 1
                continue
            except UnsealError:
                result.damaged += 1
                if len(result.first_damaged) < _MAX_LISTED:
                    result.first_damaged.append(f"{table.name} {'/'.join(map(str, primary_key))}")
                continue
            result.by_master_key[master_key_id_of(wrapped)] += 1
            replaced.append((*primary_key, wrapped, self._master_keys.wrap(key, wrapped_for)))
        return replaced

    async def _store(self, table: _Table, replaced: Sequence[tuple[Any, ...]]) -> None:
        # A key that an erasure destroyed meanwhile, or another process changed, is not replaced.
        columns = [list(column) for column in zip(*replaced, strict=True)]
        await self._connection.execute(table.update_statement, *columns)


def _primary_key(row: asyncpg.Record) -> tuple[Any, ...]:
    return tuple(row.values())[:-1]
